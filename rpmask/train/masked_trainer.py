"""A transformers.Trainer with a mask, a teacher, and an order of rows that survives a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.trainer_pt_utils import LengthGroupedSampler

from rpmask import ranks
from rpmask.heads.outputs import logits_of
from rpmask.heads.splits import Split
from rpmask.masks.masked import MaskHold
from rpmask.masks.packed_format import save_mask
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.distill import distillation_loss
from rpmask.train.evaluate import evaluation_order
from rpmask.train.parameters import decaying_names
from rpmask.train.plan import LABELS_ONLY, Distillation
from rpmask.train.teacher import ROW, LiveTeacher, RowCachedTeacher, cache_rows

CHECKPOINT_MASK = "mask.safetensors"


class MaskedTrainer(transformers.Trainer):
    """A Trainer whose model is held to a mask and learns from a teacher."""

    def __init__(
        self,
        *arguments: Any,
        task: TaskSpec,
        terms: Distillation,
        hold: MaskHold,
        tightens: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._task, self._terms, self._hold = task, terms, hold
        self._tightens = tightens
        self._teacher: LiveTeacher | RowCachedTeacher | None = None
        self._full_length: int | None = None
        # The loss below is a mean over the batch; the Trainer divides it under accumulation.
        self.loss_is_scaled_for_ga = False
        self.model_accepts_loss_kwargs = False

    def set_teacher(self, network: nn.Module, train_set: Split) -> None:
        """Distil from this network; its outputs are cached if the training sees rows more than once."""
        self._full_length = train_set.max_length
        cached = None
        if self.args.max_steps * self.args.train_batch_size > len(train_set):
            with self.accelerator.autocast():
                cached = cache_rows(network, train_set, self._terms)
        self._teacher = cached or LiveTeacher(network, self._terms)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The distillation loss in training; the loss on the labels in evaluation."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        rows = inputs.pop(ROW, torch.empty(0))
        terms = self._terms if model.training else LABELS_ONLY
        outputs = model(**inputs, **terms.outputs)
        target = None
        if model.training and self._teacher is not None:
            with self.accelerator.autocast():  # the Trainer's own autocast wraps only the model
                target = self._teacher(rows, inputs)
        mask = inputs.get("attention_mask")
        loss = distillation_loss(
            outputs, target, labels, mask, self._task, terms, self._full_length
        )
        # Only the logits are returned: the Trainer would gather hidden states for every row.
        return (loss, {"logits": logits_of(outputs)}) if return_outputs else loss

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """The same rule as in a race."""
        return decaying_names(model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        # Processes take batches from one order in turn.
        step = self.args.train_batch_size * ranks.world_size()
        return EpochOrder(
            self.train_dataset.lengths,
            step * self.args.gradient_accumulation_steps,
            self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return evaluation_order(eval_dataset).tolist()

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """A training that tightens keeps its last weights: before them cuts follow, or the rate is high."""
        if self._tightens and self.state.global_step < self.state.max_steps:
            return False
        return bool(super()._determine_best_metric(metrics, trial))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self._hold.verify()
        with current_names(self.model):
            super()._save(output_dir, state_dict)
        if self._tightens and output_dir is not None:
            save_mask(self._hold.mask, Path(output_dir) / CHECKPOINT_MASK)


class EpochOrder(LengthGroupedSampler):
    """Rows of similar length together, shuffled in each epoch by the seed and the epoch alone.

    The Trainer's sampler draws from the global random state, which a training that is resumed in the middle
    of an epoch has not reached: it would continue with other rows.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        super().__init__(batch_size, lengths=list(lengths))
        self._seed, self._epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        drawn = generator(self._seed, "training", str(self._epoch())).integers(2**63)
        self.generator = torch.Generator().manual_seed(int(drawn))
        return super().__iter__()


@contextmanager
def current_names(model: nn.Module) -> Iterator[None]:
    """Save a model's tensors under their names in the model, not those of the file they came from.

    The Trainer loads its checkpoints by the current names and skips what it does not find: every LayerNorm
    of an older BERT, the encoder of a ViT.
    """
    known = vars(model).get("_weight_conversions")
    model._weight_conversions = []  # type: ignore[assignment]
    try:
        yield
    finally:
        if known is None:
            del model._weight_conversions
        else:
            model._weight_conversions = known
