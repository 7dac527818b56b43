"""What a command would do: training steps, time, memory and disk of each part, and what has finished.

Steps are exact, except those of a race, which may stop losers early: they are the most that it
takes. Times are estimates from parts that are timed on this machine (`timing.py`). Nothing is written, except
what fetching a model or data caches.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.jsonrecord import Record
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.randomized_masks.early_evaluation import most_racing, most_steps
from rpmask.randomized_masks.substeps import usual_substeps
from rpmask.records import DataChoice
from rpmask.steps.context import Context, SilentConsole, Unfinished, available_cores
from rpmask.steps.inputs import load_data, prepare
from rpmask.steps.race_plan import plan_race, resolve_race
from rpmask.steps.requests import SampleRequest, ScreenRequest
from rpmask.steps.timing import Timings, measure
from rpmask.train.arguments import planned_interval, planned_steps
from rpmask.train.plan import TrainPlan

# Seconds of a step beside what is timed: charts, artifacts, the registry. They hardly depend on the model.
FIXED = {"sample": 4.0, "screen": 2.0, "select": 2.0, "finetune": 3.5, "jackpot": 4.0}
DRAWN = 1.5e-8  # seconds to draw a weight of a mask
STORED = 0.35 / 8  # bytes of a weight in a stored mask
FLOAT = 4  # bytes
CHECKPOINT = 6  # of a training: the weights and two moments, of the last and of the best evaluation


@dataclass(frozen=True)
class Part(Record):
    """A step of a command. run_id is that of its finished run, which is reused; it then costs nothing."""

    step: str
    level: int
    sparsity: float | None
    steps: int = 0
    at_most: bool = False
    seconds: float = 0.0
    run_id: str | None = None


@dataclass(frozen=True)
class Plan(Record):
    """The parts of a command in order. Bytes are of the memory, the store, the resume folder and the disk."""

    verb: str
    parts: tuple[Part, ...]
    memory_bytes: int = 0
    stored_bytes: int = 0
    work_bytes: int = 0
    free_bytes: int = 0

    @property
    def todo(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.run_id is None)

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.todo)

    def answer(self) -> dict[str, Any]:
        """What `--json` prints."""
        todo = self.todo
        return {
            **self.to_dict(),
            "steps": sum(part.steps for part in todo),
            "seconds": round(self.seconds, 1),
            "reused": len(self.parts) - len(todo),
        }


@dataclass(frozen=True)
class Work:
    """What a part takes beside its steps: rows, and functions of the timings."""

    part: Part
    cost: Callable[[Timings], float]
    stored: Callable[[Timings], float] = lambda timings: 0.0


class Planner:
    """Plans the parts of one command, on the rows of one task."""

    def __init__(self, task: str, model: str, data: DataChoice, context: Context) -> None:
        from rpmask.tracking.registry import fetch, is_mlflow_address, pin

        read = load_data(task, data)
        self.spec = read.spec
        self.folder = model
        if is_mlflow_address(model):
            self.folder = fetch(context.tracker, pin(context.tracker, model))
        self._prepared = prepare(read, data, self.folder)
        self.rows = len(self._prepared.train)  # of an epoch

    def sample(self, request: SampleRequest, level: int, sparsity: float, before: float) -> Work:
        """Draw a pool."""
        kinds = [kind for kind in request.space.importances if kind != "magnitude"]
        rows = min(request.calibration_rows, self.rows)
        substeps = request.substeps or usual_substeps(sparsity, before, request.granularity)

        def cost(timings: Timings) -> float:
            calibrated = rows * timings.calibration_row
            each = substeps * calibrated + (substeps - 1) * timings.refit_of(rows)
            drawn = request.k * timings.prunable * DRAWN
            return FIXED["sample"] + len(kinds) * each + drawn

        def stored(timings: Timings) -> float:
            return timings.prunable * (request.k * STORED + len(kinds) * FLOAT)

        return Work(Part("sample", level, sparsity), cost, stored)

    def screen(self, request: ScreenRequest, k: int, level: int, sparsity: float) -> Work:
        """Race a pool."""
        race = resolve_race(request, self.spec.name, sparsity)
        training, rules = plan_race(race, self.rows, k, race.twins)
        steps = most_steps(k, race.twins, rules.rungs, rules.eta)
        racing = most_racing(k, race.twins, rules.rungs, rules.eta)
        held = min(request.examples, len(self._prepared.selection.labels))
        workers = request.workers or 1

        def cost(timings: Timings) -> float:
            learnt = rules.rungs[-1] * timings.teacher if race.distilled else 0.0
            refits = (k + race.twins) * timings.refit_of(training.refit)
            evaluated = sum(racing) * held * timings.row
            return FIXED["screen"] + learnt + (refits + evaluated + steps * timings.step) / workers

        early = rules.eta > 1 or len(rules.rungs) > 1
        return Work(Part("screen", level, sparsity, steps, at_most=early and steps > 0), cost)

    def select(self, level: int, sparsity: float) -> Work:
        """Choose a mask and register it."""
        part = Part("select", level, sparsity)
        return Work(part, lambda _: FIXED["select"], lambda found: found.parameters * FLOAT)

    def finetune(self, plan: TrainPlan, level: int, sparsity: float, *, drawn: bool = True) -> Work:
        """Train a mask, or a dense model at level 0."""
        prepared = self._prepared
        steps = planned_steps(plan, self.rows)
        evaluations = steps // planned_interval(plan, steps) if steps else 0
        refitted = plan.refit_rows(sparsity, drawn=drawn) if level else 0
        dev = sum(len(split) for split in prepared.data.dev.values())

        def cost(timings: Timings) -> float:
            taught = 0.0
            if plan.distill.needs_teacher and steps:  # a teacher's answers are kept
                batches = min(steps, -(-self.rows // plan.batch_size))
                taught = batches * timings.teacher
            looked = evaluations * len(prepared.selection) + 2 * dev + len(prepared.selection)
            work = steps * timings.step + taught + timings.refit_of(refitted)
            return FIXED["finetune"] + work + looked * timings.row

        part = Part("finetune", level, sparsity, steps, at_most=plan.patience > 0)
        return Work(part, cost, lambda timings: timings.parameters * FLOAT)

    def jackpot(self, plan: SearchPlan, calibrated: int, level: int, sparsity: float) -> Work:
        """Search a mask; a start that is not drawn by magnitude is calibrated."""
        prepared = self._prepared
        steps = plan.epochs * (self.rows // min(plan.batch_size, self.rows))
        dev = len(next(iter(prepared.data.dev.values())))

        def cost(timings: Timings) -> float:
            looked = (plan.epochs + 1) * len(prepared.selection) + 3 * dev
            work = steps * timings.step + calibrated * timings.calibration_row
            return FIXED["jackpot"] + work + looked * timings.row

        part = Part("jackpot", level, sparsity, steps)
        return Work(part, cost, lambda timings: timings.parameters * FLOAT)

    def finished(
        self,
        verb: str,
        works: Sequence[Work],
        found: Sequence[str],
        plan: TrainPlan,
        *,
        threads: int | None = None,
        workers: int = 1,
    ) -> Plan:
        """The plan, with the times of the parts that have not finished; those in `found` have."""
        parts = [work.part for work in works]
        parts = [
            replace(part, run_id=run) for part, run in zip(parts, found, strict=False)
        ] + parts[len(found) :]
        if all(part.run_id for part in parts):
            return Plan(verb, tuple(parts))
        todo = works[len(found) :]
        aware = any(work.part.step in ("sample", "jackpot") or work.part.level for work in todo)
        highest = max((part.sparsity or 0.0) for part in parts)
        timings = measure(
            self.folder,
            self._prepared,
            plan,
            threads=threads or plan.threads or available_cores(),
            sparsity=highest or 0.5,
            data_aware=aware,
            trains=any(work.part.steps for work in todo),
        )
        timed = [replace(work.part, seconds=round(work.cost(timings), 1)) for work in todo]
        return Plan(
            verb,
            (*parts[: len(found)], *timed),
            memory_bytes=timings.memory_bytes * workers,
            stored_bytes=int(sum(work.stored(timings) for work in todo)),
            work_bytes=timings.parameters * FLOAT * CHECKPOINT,
            free_bytes=shutil.disk_usage(".").free,
        )


def looked_up(context: Context, count: int, *walks: Callable[[Context], Any]) -> list[str]:
    """The finished runs that a command's parts would reuse, found by walks through its steps.

    A walk ends at the first step that has not finished. The last walk is through the parts; one before it is
    the whole command, whose own run stands for all `count` parts.
    """
    try:
        context.require_store()
    except RpmaskError:
        return []  # nothing has run here, and no store is made
    if context.force:
        return []
    for number, walk in enumerate(walks, start=1):
        found: list[str] = []
        inner = replace(context, looking=found, console=SilentConsole(), schedule=None)
        inner.__dict__["tracker"] = context.tracker  # they share one connection
        try:
            walk(inner)
        except Unfinished:
            continue
        if number < len(walks):
            return found[-1:] * count
    return found[:count]
