"""The heads, by name. Adding one is one file in this folder and one line here."""

from __future__ import annotations

from typing import Any, Protocol

from rpmask.errors import RpmaskError
from rpmask.heads.classification import CLASSIFICATION
from rpmask.heads.head import Head
from rpmask.heads.image import IMAGE
from rpmask.heads.language import LANGUAGE
from rpmask.heads.regression import REGRESSION
from rpmask.heads.spans import SPANS
from rpmask.heads.tokens import TOKENS

HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        CLASSIFICATION,
        REGRESSION,
        IMAGE,
        TOKENS,
        SPANS,
        LANGUAGE,
    )
}


class Described(Protocol):
    """A task, or the manifest of an export."""

    @property
    def kind(self) -> str: ...
    @property
    def inputs(self) -> str: ...


def head_of(described: Described) -> Head:
    """The head of a task or an export. Images have one of their own, whatever is answered for them."""
    found = HEADS.get(described.inputs) or HEADS.get(described.kind)
    if found is None:
        raise RpmaskError(
            f"There is no head '{described.kind}'.",
            f"The heads are {', '.join(HEADS)}; a newer rpmask may know others.",
        )
    return found


def head_of_config(config: Any) -> Head:
    """The head of a model, by its configuration; a classification if its architecture says nothing.

    A text model with a single output answers a number.
    """
    names = getattr(config, "architectures", None)
    single = int(getattr(config, "num_labels", 0)) == 1
    found = [head for head in HEADS.values() if head.is_of(names)]
    if not found:
        found = [CLASSIFICATION, REGRESSION]
    return next((head for head in found if bool(head.answers.labels(config)) != single), found[0])


def recorded(head: Head) -> tuple[str, str]:
    """`kind` and `inputs` as tasks and manifests record them."""
    return (head.name, "text") if head.inputs.are_text else (CLASSIFICATION.name, head.name)
