"""Records: ids that do not move, JSON that is checked field by field."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record, canonical_json, digest_of
from rpmask.records import Candidate, MaskRecipe, Score, TensorCount

RECIPE = MaskRecipe(weights_digest="ab" * 32, seed=7, sparsity=0.9375)


def test_recipe_ids_are_pinned() -> None:
    # Made by this very expression; an id that moves would orphan every stored pool.
    assert RECIPE.id == "e6af7d289b6a819c"
    assert replace(RECIPE, importance="fisher", temperature=0.0).id == "3ef788740867f74e"


def test_a_default_given_outright_is_the_same_recipe() -> None:
    assert replace(RECIPE, temperature=0.2, granularity="weight").id == RECIPE.id


def test_a_new_field_with_a_default_keeps_old_ids() -> None:
    @dataclass(frozen=True)
    class Old(Record):
        seed: int
        rate: float = 0.1

    @dataclass(frozen=True)
    class New(Record):
        seed: int
        rate: float = 0.1
        added: str = "default"

    assert Old(3).id == New(3).id
    assert New(3, added="other").id != New(3).id


@given(
    st.builds(
        MaskRecipe,
        weights_digest=st.text(max_size=8),
        seed=st.integers(0, 2**31),
        sparsity=st.floats(0.01, 0.99),
        temperature=st.floats(0, 10),
        votes=st.none() | st.integers(1, 99),
        parent=st.none() | st.text(max_size=8),
    )
)
def test_round_trip(recipe: MaskRecipe) -> None:
    again = MaskRecipe.from_dict(json.loads(canonical_json(recipe.to_dict())))
    assert again == recipe
    assert again.id == recipe.id


def test_nested_records_come_back() -> None:
    candidate = Candidate(RECIPE, "m", 0.5, {"a.weight": TensorCount(1, 10)}, trial=3)
    again = Candidate.from_dict(json.loads(json.dumps(candidate.to_dict())))
    assert again == candidate
    assert (again.kept, again.total) == (1, 10)


def test_a_number_that_is_not_finite_survives_json() -> None:
    score = Score(0, 1, 8, math.nan, 0.5, math.inf)
    raw = json.loads(canonical_json(score.to_dict()))
    assert raw["loss"] is None
    assert math.isnan(Score.from_dict(raw).loss)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": "seven"}, "seed should be int"),
        ({"seed": True}, "seed should be int"),
        ({"sparsity": []}, "sparsity should be float"),
        ({"weights_digest": None}, "weights_digest should be str"),
        ({"seed": ...}, "no field 'seed'"),
    ],
)
def test_a_misfit_is_named(change: dict[str, object], says: str) -> None:
    raw = {k: v for k, v in {**RECIPE.to_dict(), **change}.items() if v is not ...}
    with pytest.raises(RpmaskError, match=says):
        MaskRecipe.from_dict(raw, "recipe")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
    )
)
def test_any_json_is_a_record_or_a_clear_error(raw: object) -> None:
    refused: RpmaskError | None = None
    try:
        Candidate.from_dict(raw)
    except RpmaskError as error:
        refused = error
    assert refused is None or (refused.message and refused.hint)


def test_digest_ignores_key_order() -> None:
    assert digest_of({"b": 1, "a": [1.5, "x"]}) == digest_of({"a": [1.5, "x"], "b": 1})
