"""Translate a training plan to transformers.TrainingArguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from rpmask import ranks
from rpmask.errors import RpmaskError
from rpmask.heads.registry import head_of
from rpmask.tasks.spec import TaskSpec
from rpmask.train.plan import TrainPlan

BATCHES = {"per_device_train_batch_size", "gradient_accumulation_steps"}
SCHEDULERS = {"linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(
    plan: TrainPlan,
    task: TaskSpec,
    rows: int,
    folder: Path,
    at_once: Callable[[int], int] = lambda rows: rows,
) -> transformers.TrainingArguments:
    """The Trainer's arguments; those given with --set replace the plan's.

    at_once: how many of so many rows fit into memory; a larger batch is computed in parts.
    """
    share, head = ranks.share_of(plan.batch_size), head_of(task)
    on_cpu = not torch.cuda.is_available()
    try:
        _check_numbers(plan.extra)
        steps = planned_steps(plan, rows)
        every = planned_interval(plan, steps)
        arguments: dict[str, Any] = {
            "output_dir": str(folder),
            "max_steps": steps,
            "per_device_train_batch_size": share,
            **({} if BATCHES & plan.extra.keys() else _parts(share, at_once)),
            "per_device_eval_batch_size": at_once(64),
            "learning_rate": plan.learning_rate,
            "warmup_steps": round(plan.rising * steps),
            "weight_decay": plan.weight_decay,
            "lr_scheduler_type": SCHEDULERS[plan.schedule],
            "max_grad_norm": plan.max_grad_norm,
            "eval_strategy": "steps",
            "eval_steps": every,
            "save_strategy": "steps",
            "save_steps": every,
            "save_total_limit": 1,
            "load_best_model_at_end": True,
            "metric_for_best_model": task.primary,
            "greater_is_better": not head.answers.lower_is_better,
            "restore_callback_states_from_checkpoint": True,  # patience continues to count
            "logging_steps": max(1, min(10, every)),
            "logging_nan_inf_filter": False,  # it would hide the losses that stop a training
            "train_sampling_strategy": "group_by_length" if head.inputs.are_text else "random",
            "seed": plan.seed,
            "bf16": plan.precision == "bf16",
            "fp16": plan.precision == "fp16",
            "use_cpu": on_cpu,
            "ddp_backend": "gloo" if on_cpu and ranks.world_size() > 1 else None,
            "dataloader_pin_memory": False,
            "disable_tqdm": True,
            "report_to": "none",
            "remove_unused_columns": False,
            "label_names": ["labels"],
            "log_level": "error",
            "log_level_replica": "error",
        }
        made = transformers.TrainingArguments(**{**arguments, **plan.extra, "max_steps": steps})
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RpmaskError(
            f"The Trainer does not take these arguments: {error}.",
            "--set takes names and values of transformers.TrainingArguments.",
        ) from error
    if made.device.type == "cuda":
        made._n_gpu = 1  # one device per process; torchrun starts a process for each
    return made


def _parts(rows: int, at_once: Callable[[int], int]) -> dict[str, int]:
    """The largest equal parts of a batch that fit into memory."""
    part = max(size for size in range(1, at_once(rows) + 1) if rows % size == 0)
    return {"per_device_train_batch_size": part, "gradient_accumulation_steps": rows // part}


def planned_interval(plan: TrainPlan, steps: int) -> int:
    """Steps between evaluations."""
    return min(plan.evaluate_every, steps) or max(1, steps // max(1, plan.evaluations))


def planned_steps(plan: TrainPlan, rows: int) -> int:
    """The number of optimizer steps. The schedule depends on it, so --set is taken into account here."""
    given, share = plan.extra.get, ranks.share_of(plan.batch_size)
    batch = int(given("per_device_train_batch_size", share)) * ranks.world_size()
    per_step = batch * int(given("gradient_accumulation_steps", 1))
    limit = int(given("max_steps", plan.max_steps))
    epochs = float(given("num_train_epochs", plan.epochs))
    return limit if limit > 0 else math.ceil(math.ceil(rows / per_step) * epochs)


def _check_numbers(extra: Mapping[str, Any]) -> None:
    """Refuse words for numbers: TrainingArguments takes them, and the optimizer fails much later."""
    for name, value in extra.items():
        default = getattr(transformers.TrainingArguments, name, None)
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        if number and isinstance(value, str):
            raise ValueError(f"{name} is a number, not '{value}'")
