"""What `doctor` says of an extra that is not all there."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from rpmask.errors import install_hint
from rpmask.steps import doctor


def test_an_extra_is_there_if_all_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def examined(absent: str) -> dict[str, tuple[Any, ...]]:
        spec = importlib.util.find_spec
        checks: dict[str, tuple[Any, ...]] = {}
        with monkeypatch.context() as patch:
            patch.setattr(
                importlib.util, "find_spec", lambda name: None if name == absent else spec(name)
            )
            doctor._extras(lambda name, what, ok: checks.update({name: (what, ok)}))
        return checks

    assert examined("onnxscript")["extra 'onnx'"] == (install_hint("onnx"), False)
    assert examined("ray")["extra 'ray'"] == (install_hint("ray"), False)
