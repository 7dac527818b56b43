"""SQuAD 1.1 and 2.0: questions about Wikipedia's articles, on the hub or in a folder of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.glue import plain_name
from rpmask.tasks.hub import HubDataset
from rpmask.tasks.questions import question_rows, span_task
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.tables import Table, read_table

SPLITS = ("train", "dev")


@dataclass(frozen=True)
class SquadTask:
    """SQuAD 1.1 or 2.0: its spec, its place on the hub, and the ending of its files' names."""

    spec: TaskSpec
    repository: str
    config: str
    version: str

    @property
    def on_hub(self) -> HubDataset:
        """The task on the hub."""
        return HubDataset(
            task=self.spec.name,
            repository=self.repository,
            config=self.config,
            splits={"train": "train", "dev": "validation"},
            alternatives="Connect to the network; or name a folder that has train.json and dev.json in "
            "SQuAD's format with --data-dir; or bring your own questions with --train and --dev.",
        )

    def read_hub(self) -> TaskRows:
        """Read the task from the hub or its local cache."""
        splits, source = self.on_hub.load()
        tables = {
            name: Table(f"{source} {name}", split.to_dict(), range(1, len(split) + 1), "row")
            for name, split in splits.items()
        }
        return TaskRows(
            self.spec,
            question_rows(tables["train"], self.spec),
            {"dev": question_rows(tables["dev"], self.spec)},
            source,
        )

    def read_folder(self, folder: Path) -> TaskRows:
        """Read the task from a folder: train.json and dev.json, or with SQuAD's own names, or JSON lines."""
        train, dev = (question_rows(read_table(self._file(folder, s)), self.spec) for s in SPLITS)
        return TaskRows(self.spec, train, {"dev": dev}, f"folder:{folder}")

    def _file(self, folder: Path, split: str) -> Path:
        names = [f"{split}.json", f"{split}-v{self.version}.json", f"{split}.jsonl"]
        for name in names:
            if (folder / name).is_file():
                return folder / name
        raise RpmaskError(
            f"{folder} has no {', '.join(names[:-1])} or {names[-1]} for task '{self.spec.name}'.",
            "Name the folder of SQuAD's JSON, or of JSON lines, with --data-dir.",
        )


SQUAD = SquadTask(
    span_task("squad", "SQuAD 1.1: which words of the text answer the question?", none=False),
    repository="rajpurkar/squad",
    config="plain_text",
    version="1.1",
)
SQUAD_V2 = SquadTask(
    span_task(
        "squad_v2",
        "SQuAD 2.0: which words of the text answer the question, if any do?",
        none=True,
    ),
    repository="rajpurkar/squad_v2",
    config="squad_v2",
    version="2.0",
)
SQUADS = {plain_name(task.spec.name): task for task in (SQUAD, SQUAD_V2)}
