"""The mask holds at every optimizer step, through accumulation, precision and a resume."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError, RunFailed
from rpmask.learn.evaluate import evaluate
from rpmask.learn.observer import Silent
from rpmask.learn.plan import LABELS_ONLY, PAPER_TERMS, Distillation, TrainPlan
from rpmask.learn.trainer import MaskedTrainer, train
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import find_prunable

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


def run(folder: Path, plan: TrainPlan, **changes: Any) -> torch.nn.Module:
    model = tiny_bert(**({"attn_implementation": "eager"} if plan.distill.attention else {}))
    teacher = tiny_bert(**({"attn_implementation": "eager"} if plan.distill.attention else {}))
    mask = magnitude(model, 0.75)
    train(
        model,
        mask,
        teacher if plan.distill.needs_teacher else None,
        toy_rows(64),
        toy_rows(32, seed=1),
        TOY_TASK,
        plan,
        folder,
        Silent(),
    )
    hold = MaskHold(model, mask)
    assert hold.verify() <= mask.kept()
    return model


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


@pytest.mark.parametrize("frozen", [False, True])
def test_resume_ends_with_the_same_weights(tmp_path: Path, frozen: bool) -> None:
    plan = replace(PLAN, freeze_embeddings=frozen)
    torch.use_deterministic_algorithms(True)
    try:
        whole = run(tmp_path / "whole", plan)
        partial = tmp_path / "partial"

        class Stop(Exception):
            pass

        class Interrupt(transformers.TrainerCallback):
            def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
                if state.global_step == 10:
                    raise Stop

        original = MaskedTrainer.train

        def interrupted(self: MaskedTrainer, *args: Any, **kwargs: Any) -> Any:
            self.add_callback(Interrupt())
            return original(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MaskedTrainer, "train", interrupted)
            with pytest.raises(Stop):
                run(partial, plan)
        assert (partial / "checkpoint-8").exists()
        resumed = run(partial, plan)
    finally:
        torch.use_deterministic_algorithms(False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    shutil.rmtree(partial)


def test_a_refilled_zero_stops_the_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refill(self: MaskHold) -> None:
        _, parameter, keep = self._held[0]
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
                    "extra": {
                        "max_grad_norm": 0,
                        "logging_nan_inf_filter": False,
                        "logging_steps": 1,
                    },
                }
            ),
        )


def test_unknown_trainer_argument(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="no_such_thing"):
        run(tmp_path, TrainPlan(**{**PLAN.__dict__, "extra": {"no_such_thing": 1}}))
