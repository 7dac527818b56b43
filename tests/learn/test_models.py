"""Whether a model was fine-tuned for a task is read off its head."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import tiny_bert

from rpmask.errors import RpmaskError
from rpmask.learn.models import has_head, load_classifier, locate
from rpmask.learn.precision import bf16_speed, faster_precision
from rpmask.tasks.registry import get_spec


def saved(folder: Path, **config: object) -> str:
    tiny_bert(**config).save_pretrained(folder)
    return str(folder)


def test_the_demo_has_a_head_for_its_task_only() -> None:
    assert has_head("demo", get_spec("demo"))
    assert not has_head("demo", get_spec("sst2"))
    assert not has_head("demo", get_spec("rte"))  # the same labels, the other way round
    assert not has_head("demo", get_spec("mnli"))


def test_made_up_label_names_count_by_their_number(tmp_path: Path) -> None:
    source = saved(tmp_path)
    assert has_head(source, get_spec("sst2"))
    assert not has_head(source, get_spec("mnli"))
    assert not has_head(source, get_spec("stsb"))


def test_a_base_model_has_no_head_and_gets_a_seeded_one(tmp_path: Path) -> None:
    tiny_bert().base_model.save_pretrained(tmp_path)
    source = str(tmp_path)
    assert not has_head(source, get_spec("sst2"))
    first, again = (load_classifier(source, get_spec("mnli"), seed=4) for _ in range(2))
    assert first.classifier.weight.shape == (3, 16)
    assert first.classifier.weight.equal(again.classifier.weight)


@pytest.mark.parametrize("source", ["./absent", "a/b/c", "/nowhere/at/all", "x\0y"])
def test_a_place_that_is_none(source: str) -> None:
    with pytest.raises(RpmaskError):
        locate(source)


def test_precision_follows_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bf16_speed() > 0
    for speed, expected in ((2.0, "bf16"), (1.0, "fp32")):
        monkeypatch.setattr("rpmask.learn.precision.bf16_speed", lambda speed=speed: speed)
        assert faster_precision() == expected
