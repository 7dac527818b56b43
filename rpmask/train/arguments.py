"""What a plan says in the words of transformers.TrainingArguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from rpmask import ranks
from rpmask.errors import RpmaskError
from rpmask.tasks.spec import TaskSpec
from rpmask.train.plan import TrainPlan

SCHEDULERS = {"linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(
    plan: TrainPlan, task: TaskSpec, rows: int, folder: Path
) -> transformers.TrainingArguments:
    """The Trainer's arguments; what --set names comes last."""
    share = ranks.share_of(plan.batch_size)
    try:
        _check_numbers(plan.extra)
        steps = _steps(plan, rows, share)
        every = min(plan.evaluate_every, steps) or max(1, steps // max(1, plan.evaluations))
        chosen: dict[str, Any] = {
            "output_dir": str(folder),
            "max_steps": steps,
            "per_device_train_batch_size": share,
            "per_device_eval_batch_size": 64,
            "learning_rate": plan.learning_rate,
            "warmup_steps": round(plan.warmup * steps),
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
            "greater_is_better": True,
            "restore_callback_states_from_checkpoint": True,  # patience goes on counting
            "logging_steps": max(1, min(10, every)),
            "logging_nan_inf_filter": False,  # it would hide what a training is stopped for
            "train_sampling_strategy": "random" if task.inputs == "image" else "group_by_length",
            "seed": plan.seed,
            "bf16": plan.precision == "bf16",
            "fp16": plan.precision == "fp16",
            "use_cpu": not torch.cuda.is_available(),
            "ddp_backend": "gloo"
            if ranks.world_size() > 1 and not torch.cuda.is_available()
            else None,
            "dataloader_pin_memory": False,
            "disable_tqdm": True,
            "report_to": "none",
            "remove_unused_columns": False,
            "label_names": ["labels"],
            "log_level": "error",
            "log_level_replica": "error",
        }
        arguments = transformers.TrainingArguments(**{**chosen, **plan.extra})
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RpmaskError(
            f"The Trainer does not take these arguments: {error}.",
            "--set takes names and values of transformers.TrainingArguments.",
        ) from error
    if arguments.device.type == "cuda":
        arguments._n_gpu = 1  # a process trains on one device; torchrun starts one for each
    return arguments


def _steps(plan: TrainPlan, rows: int, share: int) -> int:
    """What --set says of the length decides the schedule too, not only when the Trainer stops."""
    said = plan.extra.get
    at_once = int(said("per_device_train_batch_size", share)) * ranks.world_size()
    per_step = at_once * int(said("gradient_accumulation_steps", 1))
    limit = int(said("max_steps", plan.max_steps))
    epochs = float(said("num_train_epochs", plan.epochs))
    return limit if limit > 0 else math.ceil(math.ceil(rows / per_step) * epochs)


def _check_numbers(extra: Mapping[str, Any]) -> None:
    """TrainingArguments takes a word for a number, and the optimizer fails at it much later."""
    for name, value in extra.items():
        default = getattr(transformers.TrainingArguments, name, None)
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        if number and isinstance(value, str):
            raise ValueError(f"{name} is a number, not '{value}'")
