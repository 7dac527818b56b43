"""Load a model: its configuration, its classifier, its weights, its tokenizer or image processor."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.heads.head import Head
from rpmask.heads.registry import head_of
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.weights import Prunable, TensorWeights, WeightSource
from rpmask.tasks.spec import TaskSpec
from rpmask.train.model_place import ModelPlace, locate

# Model types whose positions begin after the padding index.
AFTER_PADDING = frozenset(
    (
        *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod"),
        *("data2vec-text", "ibert", "mpnet", "longformer", "luke", "lilt", "markuplm"),
    )
)


def has_head(source: str, task: TaskSpec) -> bool:
    """Whether the model was fine-tuned for this task: with its head, and the task's labels.

    Labels are compared by name, unless the model has only the default names of transformers.
    """
    config, head = _config(locate(source)), head_of(task)
    if not _is_of(config, head, source):
        return False
    if not head.answers.config(task):
        return True  # it has no labels
    if int(getattr(config, "num_labels", 0)) != task.outputs:
        return False
    names = sorted(dict(config.id2label or {}).items())  # in the order of the outputs
    known = [str(label).lower() for _, label in names]
    default = all(label.startswith("label_") for label in known)
    return default or known == [label.lower() for label in task.labels]


def _is_of(config: Any, head: Head, source: str) -> bool:
    """Whether the model has this head; an error if it has not and cannot be given one."""
    found = head.is_of(getattr(config, "architectures", None))
    if head.pretrained and not found:
        name = ", ".join(getattr(config, "architectures", None) or [type(config).__name__])
        raise RpmaskError(
            f"The model in {source} is a {name}, and no head '{head.name}' can be drawn for it.",
            f"Name a model of a class that ends in {' or '.join((head.architecture, *head.endings))}.",
        )
    return found


def positions(config: Any) -> int | None:
    """How many tokens a model has positions for; None where the configuration sets no limit."""
    if getattr(config, "position_biased_input", True) is False:
        return None  # DeBERTa's are relative
    for name in ("max_position_embeddings", "n_positions"):
        found = getattr(config, name, None)
        if isinstance(found, int) and found > 0:
            after = getattr(config, "model_type", "") in AFTER_PADDING
            return found - int(getattr(config, "pad_token_id", 0) or 0) - 1 if after else found
    return None


def readable(source: str, max_length: int) -> int:
    """max_length, or as many tokens as the model has positions for."""
    return min(max_length, positions(_config(locate(source))) or max_length)


def skeleton(source: str, task: TaskSpec) -> nn.Module:
    """The model's modules without its weights: enough to know what may be pruned."""
    # Outside of the block, in which old versions of torch cannot be imported by transformers.
    auto_class, config = head_of(task).auto_class, _config(locate(source), task)
    with torch.device("meta"):
        model: nn.Module = auto_class.from_config(config)
    return model


def load_classifier(
    source: str,
    task: TaskSpec,
    *,
    seed: int = 0,
    attentions: bool = False,
    dropout: float | None = None,
) -> nn.Module:
    """A float32 classifier for the task. A head that the checkpoint lacks is drawn from the seed.

    Only the eager implementation returns attention maps. It is mostly slower, so it is used where maps are
    wanted, or where a training is faster with it (`train/attention.py`). dropout replaces every rate of the
    modules; the configuration, which is saved with the model, keeps its own.
    """
    return _load(source, task, seed=seed, attentions=attentions, dropout=dropout)[0]


def stored_weights(source: str, task: TaskSpec, tensors: Sequence[Prunable]) -> WeightSource:
    """A model's tensors, read one at a time where its file stores them under their current names.

    Most vision models were published with other names; transformers loads those whole and renames them.
    """
    place = locate(source)
    stored = SafetensorsWeights(place.weights)
    if all(stored.holds(tensor.name, tensor.shape) for tensor in tensors):
        return stored
    model, missing = _load(source, task)
    for tensor in tensors:
        if any(f".{name}".endswith(f".{tensor.name}") for name in missing):
            raise RpmaskError(
                f"{place.weights} has no tensor '{tensor.name}'.",
                "Is it the checkpoint of this model?",
            )
    return TensorWeights(model)


def restored_classifier(
    config: Any,
    task: TaskSpec,
    weights: dict[str, torch.Tensor],
    *,
    attentions: bool = False,
    dropout: float | None = None,
) -> nn.Module:
    """The classifier that `load_classifier` returned on another machine, from its configuration and state."""
    from transformers.initialization import no_init_weights

    config = copy.deepcopy(config)
    own = _set_dropout(config, dropout)
    with no_init_weights():
        model: Any = head_of(task).auto_class.from_config(
            config, dtype=torch.float32, attn_implementation="eager" if attentions else None
        )
    model.config.update(own)
    model.load_state_dict(weights)
    network: nn.Module = model.eval()
    return network


def read_weights(family: Any, folder: str, **options: Any) -> tuple[Any, set[str]]:
    """A float32 model as transformers loads it, and the names that the file lacks: those are random."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with _quiet():  # the caller reports missing names if it did not expect them
        model, notes = family.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, **options
        )
    return model, set(notes["missing_keys"])


def name_padding(config: Any, source: str) -> None:
    """Set a missing padding token to the tokenizer's, or else to the model's own end of text.

    A decoder classifies at the last token that is not padding, so it takes no batch without one.
    """
    if getattr(config, "pad_token_id", None) is not None:
        return
    try:
        found = load_tokenizer(source).pad_token_id
    except RpmaskError:  # the model has no tokenizer; token ids may come from elsewhere
        found = None
    if found is None:
        found = getattr(config, "eos_token_id", None)
    config.pad_token_id = found[0] if isinstance(found, list) else found


def load_tokenizer(source: str) -> Any:
    """The tokenizer saved with the weights."""
    from transformers import AutoTokenizer

    place = locate(source)
    hint = "Save the tokenizer with the model: tokenizer.save_pretrained(folder)."
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.tokenizer)
    except (OSError, ValueError) as error:
        raise RpmaskError(
            f"There is no tokenizer in {place.tokenizer}: {str(error).splitlines()[0]}", hint
        ) from error
    # transformers makes one from the model's type alone; some of SentencePiece's know the space too.
    if len(tokenizer) <= len(tokenizer.all_special_ids) + 1:
        raise RpmaskError(f"There is no tokenizer in {place.tokenizer}: it knows no word.", hint)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_image_processor(source: str) -> Any:
    """The image processor saved with the weights."""
    from transformers import AutoImageProcessor

    place = locate(source)
    try:
        with _quiet():  # about the backend it falls back to
            return AutoImageProcessor.from_pretrained(place.processor)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise RpmaskError(
            f"There is no image processor in {place.processor}: {str(error).splitlines()[0]}",
            "Save the processor with the model: processor.save_pretrained(folder).",
        ) from error


def reader_of(source: str, head: Head) -> Any:
    """What reads the inputs of a model with this head: its tokenizer or its image processor."""
    return load_tokenizer(source) if head.inputs.are_text else load_image_processor(source)


def _config(place: ModelPlace, task: TaskSpec | None = None) -> Any:
    from transformers import AutoConfig

    head = {} if task is None else head_of(task).answers.config(task)
    try:
        config = AutoConfig.from_pretrained(place.weights, **head)
    except (ValueError, KeyError, json.JSONDecodeError, OSError) as error:
        raise RpmaskError(
            f"The configuration in {place.weights} cannot be read: {error}.",
            "It should be the config.json that save_pretrained writes.",
        ) from error
    if getattr(config, "quantization_config", None) is not None:
        raise RpmaskError(
            f"The weights in {place.weights} are quantized, and masks are for float weights.",
            "Give the model that was quantized, in fp32, fp16 or bf16.",
        )
    if task is not None:
        _is_of(config, head_of(task), place.weights)
    return config


def _load(
    source: str,
    task: TaskSpec,
    *,
    seed: int = 0,
    attentions: bool = False,
    dropout: float | None = None,
) -> tuple[nn.Module, set[str]]:
    """The classifier, and the names of the parameters drawn because the file lacks them."""
    place = locate(source)
    config = _config(place, task)
    head = head_of(task)
    if head.inputs.are_text and not head.joins_rows:  # blocks are not padded
        name_padding(config, source)
    own = _set_dropout(config, dropout)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, missing = read_weights(
                head_of(task).auto_class,
                place.weights,
                config=config,
                attn_implementation="eager" if attentions else None,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise RpmaskError(
            f"The weights in {place.weights} cannot be loaded: {str(error).splitlines()[0]}",
            "The folder should hold model.safetensors and a config.json that fit each other.",
        ) from error
    model.config.update(own)
    return model, missing


def _set_dropout(config: Any, rate: float | None) -> dict[str, float]:
    """Replace every dropout rate, whatever its name in the architecture; returns the rates before."""
    if rate is None:
        return {}
    own = {
        name: value
        for name, value in config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float)
    }
    config.update(dict.fromkeys(own, rate))
    return own


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' warnings."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
