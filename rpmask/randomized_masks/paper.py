"""Every number of the randomized-mask paper's public recipe (arXiv 2310.13183), under the paper's names.

They are read from the public code, where only the MRPC script has early evaluation. docs/concepts.md, "The
public recipe", lists where rpmask differs on purpose.
"""

from __future__ import annotations

from rpmask.train.plan import Distillation

LEVELS = (0.54, 0.83, 0.92, 0.9375)

# Mask generation: p is proportional to |w|^EXPONENT = |w|^(1/T).
EXPONENT = 5
TEMPERATURE = 1 / EXPONENT
SAMPLING_RATIOS = (5e-5, 1e-4, 8e-5, 3e-4)
DRAWS_PER_RATIO = 2
DRAWS = DRAWS_PER_RATIO * len(SAMPLING_RATIOS)
CANDIDATES = DRAWS + 1  # with rpmask's control, which the public code does not have

# Training of each level, and of the dense model for one epoch before the first level.
DENSE_EPOCHS = 1.0
EPOCHS = 10.0
LEARNING_RATE = 5e-5
BATCH_SIZE = 64
WEIGHT_DECAY = 0.0
MAX_GRAD_NORM = 0.0  # gradients are not clipped
WARMUP = 0.1  # of the steps
SCHEDULE = "constant"  # after the warm-up; for the dense epoch and every level but the last
LAST_SCHEDULE = "linear"
EVALUATE_EVERY = 50  # steps; the best checkpoint is kept

# Early evaluation: each candidate is trained with the whole distillation loss.
EARLY_EPOCHS = 1.0
EARLY_LEARNING_RATE = 2e-4
EARLY_SCHEDULE = "linear"
SCORED_EVALUATIONS = (
    10  # a candidate's score is the mean of its last evaluations, at most this many
)

# The distillation loss: the weight of each term, and how it is averaged.
LABELS = 0.0
LOGITS = 1.0
HIDDEN = 1.0  # embeddings and every layer, 13 states of BERT-base
ATTENTION = 1.0
DISTILLATION_TEMPERATURE = 1.0
LOGIT_LOSS = "cross-entropy"  # against soft targets, averaged over batch and classes
ATTENTION_MEAN = "full-length"  # over the cells of a map padded to MAX_LENGTH
REGRESSION_TARGET = "labels"  # STS-B: the target of the term that replaces the logits'
MAX_LENGTH = 128  # tokens

TERMS = Distillation(
    labels=LABELS,
    logits=LOGITS,
    hidden=HIDDEN,
    attention=ATTENTION,
    temperature=DISTILLATION_TEMPERATURE,
    logit_loss=LOGIT_LOSS,
    attention_mean=ATTENTION_MEAN,
    regression_target=REGRESSION_TARGET,
)
