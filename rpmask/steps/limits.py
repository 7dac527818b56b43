"""What a request may ask for: each refuses, in one sentence, what nothing can be done with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.train.plan import Distillation


def one_of(what: str, given: str, known: Sequence[str]) -> None:
    """Refuse a name that is not known."""
    if given not in known:
        raise RpmaskError(f"There is no {what} '{given}'.", f"Give one of {', '.join(known)}.")


def between(what: str, given: float, low: float, high: float) -> None:
    """Refuse a number that is not between two others."""
    if not low < given < high:
        raise RpmaskError(
            f"The {what} is {given:g}; it must be above {low:g}"
            + (f" and below {high:g}." if math.isfinite(high) else "."),
            "`rpmask VERB --help` shows the default.",
        )


def at_least(what: str, given: float, least: float) -> None:
    """Refuse a number below another."""
    if not least <= given < math.inf:
        raise RpmaskError(
            f"The {what} is {given:g}; it must be {least:g} or more.",
            "`rpmask VERB --help` shows the default.",
        )


def check_terms(distill: Distillation) -> None:
    """Refuse a loss that has no term, or a negative one, or a term that cannot be computed."""
    distill.check()
    terms = {name: getattr(distill, name) for name in ("labels", "logits", "hidden", "attention")}
    for name, weight in terms.items():
        at_least(f"weight of --distill-{name}", weight, 0)
    if not any(weight > 0 for weight in terms.values()):
        raise RpmaskError(
            "Every term of the loss has the weight 0; there is nothing to learn from.",
            "Give --distill-labels, --distill-logits, --distill-hidden or --distill-attention a weight.",
        )
    between("temperature of the distillation", distill.temperature, 0.0, math.inf)


def check_data(choice: DataChoice) -> None:
    """Refuse what no text can be cut to."""
    if choice.max_length < 2:
        raise RpmaskError(
            f"Texts are to be cut to {choice.max_length} tokens.",
            "Give --max-length 128, or how many the model takes.",
        )


def rows_to_refit(rows: int | None) -> None:
    """Refuse a negative number of rows."""
    if rows is not None and rows < 0:
        raise RpmaskError(
            f"The weights are to be refitted on {rows} rows.",
            "Give how many training rows to use, or 0 to keep the weights as they are.",
        )
