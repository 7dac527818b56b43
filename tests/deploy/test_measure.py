"""Timings, the grid, and what `bench` says of runtimes that are there or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from deploy.small import batch, without_units
from toy import tiny_bert

from rpmask.deploy import onnx, runtimes
from rpmask.deploy.bench import bench, longest, parse_grid, shapes
from rpmask.deploy.measure import WARM, interleaved, pinned, resident_bytes
from rpmask.errors import RpmaskError, RunFailed, install_hint


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = interleaved({name: lambda n=name: order.append(n) for name in "ab"}, repeats=4)
    assert order == ["a"] * WARM + ["b"] * WARM + ["a", "b"] * 4
    assert times["a"].repeats == 4
    assert 0 < times["a"].median_ms <= times["a"].p95_ms


def test_no_turn_begins_after_the_time_is_up_but_three_are_made() -> None:
    assert interleaved({"a": lambda: None}, repeats=99, seconds=0.0)["a"].repeats == 3


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with pinned(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(RpmaskError), pinned(0):
        pass


def test_memory_is_known() -> None:
    before = resident_bytes()
    held = torch.ones(4_000_000)
    assert resident_bytes() - before > 0.8 * held.numel() * held.element_size()


def test_default_shapes_fit_the_model() -> None:
    assert shapes("auto", 512) == ((1, 32), (1, 128), (8, 128))
    assert shapes("auto", 64) == ((1, 32), (1, 64), (8, 64))
    with pytest.raises(RpmaskError, match="128 tokens are more than this model takes, 64"):
        shapes("1x128", 64)


def test_grid() -> None:
    assert parse_grid("1x32, 8x128") == ((1, 32), (8, 128))
    for wrong in ("", "8", "0x4", "ax2", "1x2,"):
        with pytest.raises(RpmaskError, match="not a list of shapes"):
            parse_grid(wrong)


def test_every_runtime_is_timed_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_bert().eval()
    without_units(model, neurons=True, heads=False)
    inputs = batch()
    monkeypatch.setattr(runtimes.csr_routes, "choose_routes", lambda *_: {})
    found = runtimes.runtimes_of(model, inputs, tmp_path)
    assert set(found.answers) | set(found.absent) == set(runtimes.MAKERS)
    assert {"csr", "2:4 GPU"} <= set(found.absent)
    assert {"dense bf16", "dynamic int8", "compact", "ONNX Runtime"} <= set(found.answers)
    assert {"ONNX Runtime int8", "OpenVINO"} <= set(found.answers)
    rows = bench(found, ((1, 4), (2, 7)), vocabulary=20, names=tuple(inputs), seconds=0.0)
    assert len(rows) == 2 * len(found.answers)
    assert rows[0].runtime == runtimes.DENSE
    assert rows[0].speedup == 1.0
    assert rows[0].max_abs_diff == 0.0
    assert all(row.max_abs_diff < 0.05 for row in rows)
    fastest = {
        (row.batch, row.tokens): row.runtime
        for row in sorted(rows, key=lambda row: -row.ms_median)
        if row.runtime != "compact"
    }
    for row in rows:
        dense = next(r for r in rows if (r.batch, r.tokens) == (row.batch, row.tokens))
        assert row.speedup == pytest.approx(dense.ms_median / row.ms_median)
        assert row.speedup_best is not None
        assert (row.speedup_best == 1.0) == (row.runtime == fastest[row.batch, row.tokens])


def test_a_missing_peer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "installed", lambda packages: False)
    found = runtimes.runtimes_of(tiny_bert().eval(), batch(), tmp_path)
    assert found.absent["ONNX Runtime"] == "not installed: onnx, onnxscript, onnxruntime"
    assert found.absent["OpenVINO"] == "not installed: onnx, onnxscript, openvino"
    with pytest.raises(RpmaskError, match="not installed") as told:
        onnx.Session(tmp_path / "model.onnx")
    assert install_hint("onnx") in told.value.hint


def test_a_runtime_that_cannot_run_the_model_is_named_and_the_others_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise NotImplementedError("\x1b[31mno such operator\x1b[0m\nat line 3")

    monkeypatch.setattr(runtimes, "_int8", fails)
    monkeypatch.setattr(onnx, "write", lambda *_: (_ for _ in ()).throw(RunFailed("no such part.")))
    found = runtimes.runtimes_of(tiny_bert().eval(), batch(), tmp_path)
    assert found.absent["dynamic int8"] == "it does not run this model (no such operator)"
    for name in runtimes.ONNX_READERS:
        assert found.absent[name] == "no such part."
    assert {runtimes.DENSE, "dense bf16"} <= set(found.answers)


def test_a_runtime_that_cannot_take_a_shape_is_named_for_it() -> None:
    def small(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        if len(inputs["input_ids"]) > 1:
            raise RuntimeError("one row at a time")
        return torch.zeros(1, 2)

    found = runtimes.Runtimes(
        {runtimes.DENSE: lambda inputs: torch.zeros(len(inputs["input_ids"]), 2), "other": small}
    )
    rows = bench(found, ((1, 4), (2, 4)), vocabulary=20, names=("input_ids",), seconds=0.0)
    assert [(row.runtime, row.batch) for row in rows] == [
        *((runtimes.DENSE, 1), ("other", 1), (runtimes.DENSE, 2)),
    ]
    assert list(found.absent) == ["other at 2x4"]


def test_longest_input() -> None:
    assert longest(tiny_bert().config) == 16
    from transformers import XLNetConfig

    assert longest(XLNetConfig()) == 512  # relative positions: nothing limits it
