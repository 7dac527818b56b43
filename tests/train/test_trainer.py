"""The mask holds at every optimizer step, through accumulation, precision and a resume."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import find_prunable
from rpmask.randomized_masks.paper import TERMS as PAPER_TERMS
from rpmask.randomized_masks.tightening import Tightening, cuts_by_step
from rpmask.records import MaskRecipe
from rpmask.train.arguments import training_arguments
from rpmask.train.evaluate import evaluate
from rpmask.train.masked_trainer import MaskedTrainer
from rpmask.train.observer import Silent
from rpmask.train.plan import LABELS_ONLY, Distillation, TrainPlan
from rpmask.train.trainer import Trained, forget_dropped, train


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> None:
    """Each training ends with a garbage collection, which need not look at what was there before."""
    gc.collect()
    gc.freeze()


PLAN = TrainPlan(epochs=2, batch_size=8, evaluations=2, learning_rate=1e-2, distill=LABELS_ONLY)


def magnitude(model: torch.nn.Module, sparsity: float) -> Mask:
    base = model.base_model
    keep = {}
    for tensor in find_prunable(model):
        weight = base.get_parameter(tensor.name).detach().abs()
        kept = round(weight.numel() * (1 - sparsity))
        cut = weight.flatten().sort(descending=True).values[kept - 1]
        keep[tensor.name] = weight >= cut
    return Mask.from_bools(keep)


def run(folder: Path, plan: TrainPlan, old: bool = False) -> torch.nn.Module:
    return fit(folder, plan, old)[0]


def old_bert(folder: Path) -> torch.nn.Module:
    """From a file with the names that BERT was published with."""
    tiny_bert().save_pretrained(folder)
    file = folder / "model.safetensors"
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in load_file(file).items()
    }
    save_file(renamed, file, metadata={"format": "pt"})
    model: torch.nn.Module = transformers.BertForSequenceClassification.from_pretrained(folder)
    return model


def fit(folder: Path, plan: TrainPlan, old: bool = False) -> tuple[torch.nn.Module, Trained]:
    model = (
        old_bert(folder / "start")
        if old
        else tiny_bert(**({"attn_implementation": "eager"} if plan.distill.attention else {}))
    )
    teacher = tiny_bert(**({"attn_implementation": "eager"} if plan.distill.attention else {}))
    mask = magnitude(model, 0.75)
    trained = train(
        model,
        mask,
        teacher if plan.distill.needs_teacher else None,
        toy_rows(64),
        toy_rows(32, seed=1),
        TOY_TASK,
        plan,
        folder,
        Silent(),
        tightening(plan) if plan.tighten else None,
    )
    assert trained.mask is not None
    assert mask.contains(trained.mask)
    hold = MaskHold(model, trained.mask)
    assert hold.verify() <= trained.mask.kept()
    return model, trained


def tightening(plan: TrainPlan) -> Callable[[int], Tightening]:
    """Cuts from 75 % to the plan's sparsity."""
    recipe = MaskRecipe("", 0, 0.9, temperature=0.0, importance="fisher", allocation=1.0)
    return lambda steps: Tightening(
        recipe,
        cuts_by_step(0.75, plan.tighten or 0.9, steps, plan.tighten_share, plan.tighten_cuts),
        toy_rows(64),
        TOY_TASK,
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"extra": {"gradient_accumulation_steps": 2}},
        {"precision": "bf16"},
        pytest.param(
            {"precision": "fp16"},
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 needs CUDA"),
            ],
        ),
        {"distill": Distillation()},
        {"distill": PAPER_TERMS},
    ],
    ids=["plain", "accumulation", "bf16", "fp16", "distilled", "paper"],
)
def test_mask_holds_at_every_step(
    tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    before = MaskHold.apply

    def watched(self: MaskHold) -> None:
        before(self)
        seen.append(self.verify())

    monkeypatch.setattr(MaskHold, "apply", watched)
    model = run(tmp_path, TrainPlan(**{**PLAN.__dict__, **change}))
    assert len(seen) >= 8  # every optimizer step, and more
    assert any(p.abs().sum() > 0 for p in model.parameters())


def test_training_changes_kept_weights_and_learns(tmp_path: Path) -> None:
    plan = TrainPlan(**{**PLAN.__dict__, "epochs": 12})
    trained = run(tmp_path, plan)
    assert not torch.equal(
        trained.base_model.encoder.layer[0].output.dense.weight,
        tiny_bert().base_model.encoder.layer[0].output.dense.weight,
    )


def test_bf16_ends_near_fp32(tmp_path: Path) -> None:
    held_out = toy_rows(64, seed=2)
    single = run(tmp_path / "fp32", PLAN)
    half = run(tmp_path / "bf16", TrainPlan(**{**PLAN.__dict__, "precision": "bf16"}))
    losses = [evaluate(model, held_out, TOY_TASK).loss for model in (single, half)]
    untrained = evaluate(tiny_bert(), held_out, TOY_TASK).loss
    assert abs(losses[0] - losses[1]) < 0.05 * untrained


def test_trained_in_bf16_it_answers_as_its_weights_do_when_they_are_read_again(
    tmp_path: Path,
) -> None:
    trained = run(tmp_path, TrainPlan(**{**PLAN.__dict__, "precision": "bf16"}))
    again = tiny_bert()
    again.load_state_dict(trained.state_dict())
    held_out = toy_rows(64, seed=2)
    answers = [evaluate(model, held_out, TOY_TASK).logits for model in (trained, again)]
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize(
    ("changes", "stopped", "reached"),
    [
        ({}, 10, 8),
        ({"old": True}, 10, 8),
        ({"freeze_embeddings": True}, 10, 8),
        ({"evaluations": 4}, 14, 12),  # in the middle of the second epoch
        ({"evaluations": 4, "extra": {"gradient_accumulation_steps": 2}}, 7, 6),
        (
            {"evaluations": 8, "tighten": 0.9, "tighten_cuts": 3},
            7,
            6,
        ),  # between the second and the third cut
        ({"evaluations": 8, "tighten": 0.9, "tighten_cuts": 3, "tighten_share": 0.5}, 5, 4),
        ({"evaluations": 8, "tighten": 0.9, "tighten_cuts": 1}, 7, 6),  # the only cut comes first
    ],
)
def test_resume_ends_with_the_same_weights(
    tmp_path: Path, changes: dict[str, Any], stopped: int, reached: int
) -> None:
    changes = dict(changes)
    old = changes.pop("old", False)
    plan = replace(PLAN, **changes)
    torch.use_deterministic_algorithms(True)
    try:
        whole = run(tmp_path / "whole", plan, old)
        partial = tmp_path / "partial"

        class Stop(Exception):
            pass

        class Interrupt(transformers.TrainerCallback):
            def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
                if state.global_step == stopped:
                    raise Stop

        original = MaskedTrainer.train

        def interrupted(self: MaskedTrainer, *args: Any, **kwargs: Any) -> Any:
            self.add_callback(Interrupt())
            return original(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MaskedTrainer, "train", interrupted)
            with pytest.raises(Stop):
                run(partial, plan, old)
        assert (partial / f"checkpoint-{reached}").exists()
        resumed = run(partial, plan, old)
    finally:
        torch.use_deterministic_algorithms(False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    shutil.rmtree(partial)


def test_the_best_weights_are_whole_under_the_names_of_an_old_file(tmp_path: Path) -> None:
    """Else what is returned is the best step but for the LayerNorms, which are the last one's."""
    plan = replace(PLAN, evaluations=8)
    modern, ours = fit(tmp_path / "modern", plan)
    old, theirs = fit(tmp_path / "old", plan, old=True)
    assert ours.best_step == theirs.best_step < ours.steps
    for name, value in modern.state_dict().items():
        assert torch.equal(value, old.state_dict()[name]), name


def test_cuts_tighten_the_mask_and_the_last_weights_are_kept(tmp_path: Path) -> None:
    """Without a rate every evaluation after the last cut is equal, and the first would be the best."""
    plan = replace(PLAN, learning_rate=0.0, evaluations=16)
    plan = replace(plan, tighten=0.9, tighten_share=0.5, tighten_cuts=3)
    _, trained = fit(tmp_path, plan)
    assert trained.mask is not None
    assert trained.mask.sparsity == pytest.approx(0.9, abs=1e-3)
    assert trained.best_step == trained.steps == 16


def test_a_training_that_ends_before_the_last_cut_fails(tmp_path: Path) -> None:
    plan = replace(PLAN, tighten=0.9, extra={"num_train_epochs": 0})
    with pytest.raises(RunFailed, match="ended after 0 steps, before the last cut"):
        fit(tmp_path, plan)


def test_the_moments_of_dropped_weights_are_cleared() -> None:
    model = tiny_bert()
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    hold = MaskHold(model, magnitude(model, 0.75))
    forget_dropped(optimizer, hold.kept)
    for parameter, keep in hold.kept.items():
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[parameter][moment] != 0, keep)


def test_no_epochs_only_refit(tmp_path: Path) -> None:
    plan = replace(PLAN, epochs=0.0, refit=64)
    model, trained = fit(tmp_path, plan)
    assert (trained.steps, trained.best_step) == (0, 0)
    assert trained.refitted == 12
    before = tiny_bert().base_model.encoder.layer[0].output.dense
    assert not torch.equal(model.base_model.encoder.layer[0].output.dense.bias, before.bias)


def test_a_refilled_zero_stops_the_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refill(self: MaskHold) -> None:
        parameter, keep = next(iter(self.kept.items()))
        with torch.no_grad():
            parameter[~keep] = 1.0

    monkeypatch.setattr(MaskHold, "apply", refill)
    with pytest.raises(RunFailed, match="pruned weights of"):
        run(tmp_path, PLAN)
    assert not list(tmp_path.glob("checkpoint-*/model.safetensors"))


def test_nan_loss_stops(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="loss is nan"):
        run(
            tmp_path,
            TrainPlan(
                **{
                    **PLAN.__dict__,
                    "learning_rate": 1e30,
                    "extra": {"max_grad_norm": 0},
                }
            ),
        )


def test_unknown_trainer_argument(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="no_such_thing"):
        run(tmp_path, TrainPlan(**{**PLAN.__dict__, "extra": {"no_such_thing": 1}}))


@pytest.mark.parametrize(
    "extra",
    [
        {"max_steps": "ten"},
        {"num_train_epochs": "x"},
        {"gradient_accumulation_steps": 0},
        {"learning_rate": "fast"},
    ],
)
def test_what_the_trainer_cannot_take(tmp_path: Path, extra: dict[str, Any]) -> None:
    with pytest.raises(RpmaskError, match="does not take these arguments"):
        run(tmp_path, replace(PLAN, extra=extra))


@pytest.mark.parametrize(
    ("extra", "steps"),
    [
        ({}, 16),
        ({"per_device_train_batch_size": 4}, 32),
        ({"gradient_accumulation_steps": 2}, 8),
        ({"num_train_epochs": 0.5}, 4),
        ({"max_steps": 3}, 3),
    ],
)
def test_epochs_are_counted_in_the_rows_that_a_step_takes(
    tmp_path: Path, extra: dict[str, Any], steps: int
) -> None:
    plan = replace(PLAN, extra=extra)
    assert training_arguments(plan, TOY_TASK, 64, tmp_path).max_steps == steps


@pytest.mark.parametrize(
    ("changed", "rising"),
    [
        ({}, 2),  # a tenth of 16 steps
        ({"tighten": 0.9}, 11),
        ({"tighten": 0.9, "tighten_share": 0.5}, 8),
        ({"tighten": 0.9, "tighten_cuts": 1}, 2),  # the only cut comes first
        ({"tighten": 0.9, "extra": {"warmup_steps": 3}}, 3),
    ],
)
def test_the_rate_rises_until_the_last_cut(
    tmp_path: Path, changed: dict[str, Any], rising: int
) -> None:
    plan = replace(PLAN, **changed)
    arguments = training_arguments(plan, TOY_TASK, 64, tmp_path)
    assert arguments.warmup_steps == rising
    if plan.tighten and not plan.extra and plan.tighten_cuts > 1:
        cuts = cuts_by_step(0.5, 0.9, arguments.max_steps, plan.tighten_share, plan.tighten_cuts)
        assert max(cuts) == rising


@pytest.mark.parametrize(("at_once", "part"), [(64, 8), (7, 4), (1, 1)])
def test_a_batch_that_does_not_fit_into_memory_is_computed_in_parts(
    tmp_path: Path, at_once: int, part: int
) -> None:
    made = training_arguments(PLAN, TOY_TASK, 64, tmp_path, lambda rows: min(rows, at_once))
    taken = (made.per_device_train_batch_size, made.gradient_accumulation_steps)
    assert (*taken, made.max_steps) == (part, 8 // part, 16)
    assert made.per_device_eval_batch_size == at_once


def test_the_seconds_before_a_resume_are_counted(tmp_path: Path) -> None:
    fit(tmp_path, PLAN)
    (checkpoint,) = tmp_path.glob("checkpoint-16")
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    kept = state["stateful_callbacks"]["_Clock"]["args"]
    assert kept["before"] > 0
    kept["before"] = 1000.0
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    assert fit(tmp_path, PLAN)[1].seconds > 1000


def test_patience_goes_on_counting_when_a_training_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, learning_rate=0.0, evaluations=16, patience=4)  # nothing ever gets better
    seen: list[int] = []

    class Stop(Exception):
        pass

    def watched(stopped: int) -> None:
        class Watch(transformers.TrainerCallback):
            def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
                seen.append(state.global_step)
                if state.global_step == stopped:
                    raise Stop

        original = MaskedTrainer.train

        def train_watched(self: MaskedTrainer, *args: Any, **kwargs: Any) -> Any:
            self.add_callback(Watch())
            return original(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(MaskedTrainer, "train", train_watched)
            run(tmp_path, plan)

    with pytest.raises(Stop):
        watched(3)
    watched(-1)
    assert max(seen) == 4  # the fifth evaluation is the fourth that is no better than the first
