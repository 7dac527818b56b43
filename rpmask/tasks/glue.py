"""The nine GLUE tasks: their specs, and their columns on the hub and in the classic TSV layout.

Class indices are the hub's, so that a model fine-tuned elsewhere fits. The TSV files of RTE, QNLI and
MNLI hold class names, those of the other tasks class indices. Row counts: RTE 2490 train and 277 dev,
MRPC 3668 and 408, SST-2 67349 and 872, CoLA 8551 and 1043.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError
from rpmask.tasks.hub import HubDataset
from rpmask.tasks.rows import Columns, text_rows
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.tables import Table, read_tsv

if TYPE_CHECKING:
    import datasets

CORRELATIONS = ("pearson", "spearmanr", "combined")
ACCURACY_F1 = ("accuracy", "f1", "combined")
ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTask:
    """One GLUE task; the last of its metrics is the primary one.

    folder: its usual name in the classic layout.
    header: the columns of TSV files that have no header.
    torn_rows: line breaks inside its texts tear some rows apart; they are left out, as on the hub.
    """

    name: str
    folder: str
    title: str
    labels: tuple[str, ...]
    tsv: Columns
    hub: Columns
    metrics: tuple[str, ...] = ("accuracy",)
    dev_splits: tuple[str, ...] = ("dev",)
    header: tuple[str, ...] | None = None
    score_range: tuple[float, float] | None = None
    torn_rows: bool = False

    @cached_property
    def spec(self) -> TaskSpec:
        """The task as the rest of rpmask knows it."""
        return TaskSpec(
            name=self.name,
            title=self.title,
            kind="classification" if self.labels else "regression",
            labels=self.labels,
            pair=self.tsv.text_pair is not None,
            metrics=self.metrics,
            primary=self.metrics[-1],
        )

    @property
    def on_hub(self) -> HubDataset:
        """The task on the hub, which calls dev "validation" (MNLI's two with an ending)."""
        dev = {split: split.replace("dev", "validation", 1) for split in self.dev_splits}
        return HubDataset(
            task=self.name,
            repository="nyu-mll/glue",
            config=self.name,
            splits={"train": "train", **dev},
            alternatives=(
                "Connect to the network; or name a folder in the classic GLUE layout "
                f"({self.name.upper()}/train.tsv, ...) with --data-dir or RPMASK_GLUE_DIR; or bring "
                "your own CSV, JSON or Parquet files with --train and --dev; or try --task demo."
            ),
        )

    def rows(self, table: Table, columns: Columns) -> datasets.Dataset:
        """Check a table of this task."""
        return text_rows(table, columns, self.spec, indices=True, score_range=self.score_range)

    def read_folder(self, folder: Path) -> TaskRows:
        """Read the task from a folder in the classic layout (train.tsv, dev.tsv)."""

        def read(split: str) -> datasets.Dataset:
            path = folder / f"{split}.tsv"
            return self.rows(read_tsv(path, self.header, drop_torn=self.torn_rows), self.tsv)

        rows = {split: read(split) for split in ("train", *self.dev_splits)}
        return TaskRows(self.spec, rows.pop("train"), rows, f"folder:{folder}")

    def read_hub(self) -> TaskRows:
        """Read the task from the hub or its local cache."""
        splits, source = self.on_hub.load()
        rows = {}
        for name, split in splits.items():
            places = range(1, split.num_rows + 1)
            rows[name] = self.rows(
                Table(f"{source} {name}", split.to_dict(), places, "row"), self.hub
            )
        return TaskRows(self.spec, rows.pop("train"), rows, source)


_SENTENCE = Columns("sentence", "label")
_PAIR = Columns("sentence1", "label", "sentence2")
_QUESTION = Columns("question", "label", "sentence")

_TASKS = (
    GlueTask(
        "cola",
        "CoLA",
        "Corpus of Linguistic Acceptability: is the sentence grammatical?",
        labels=("unacceptable", "acceptable"),
        tsv=_SENTENCE,
        hub=_SENTENCE,
        metrics=("matthews_correlation",),
        header=("source", "label", "author_label", "sentence"),
    ),
    GlueTask(
        "sst2",
        "SST-2",
        "Stanford Sentiment Treebank: is the review positive?",
        labels=("negative", "positive"),
        tsv=_SENTENCE,
        hub=_SENTENCE,
    ),
    GlueTask(
        "mrpc",
        "MRPC",
        "Microsoft Research Paraphrase Corpus: do both sentences say the same?",
        labels=("not_equivalent", "equivalent"),
        tsv=Columns("#1 String", "Quality", "#2 String"),
        hub=_PAIR,
        metrics=ACCURACY_F1,
    ),
    GlueTask(
        "stsb",
        "STS-B",
        "Semantic Textual Similarity Benchmark: how alike are the sentences, 0 to 5?",
        labels=(),
        tsv=Columns("sentence1", "score", "sentence2"),
        hub=_PAIR,
        metrics=CORRELATIONS,
        score_range=(0.0, 5.0),
    ),
    GlueTask(
        "qqp",
        "QQP",
        "Quora Question Pairs: do both questions ask the same?",
        labels=("not_duplicate", "duplicate"),
        tsv=Columns("question1", "is_duplicate", "question2"),
        hub=Columns("question1", "label", "question2"),
        metrics=ACCURACY_F1,
        torn_rows=True,
    ),
    GlueTask(
        "mnli",
        "MNLI",
        "MultiNLI: does the premise entail, contradict or leave open the hypothesis?",
        labels=("entailment", "neutral", "contradiction"),
        tsv=Columns("sentence1", "gold_label", "sentence2"),
        hub=Columns("premise", "label", "hypothesis"),
        dev_splits=("dev_matched", "dev_mismatched"),
    ),
    GlueTask(
        "qnli",
        "QNLI",
        "Question NLI: does the sentence answer the question?",
        labels=ENTAILMENT,
        tsv=_QUESTION,
        hub=_QUESTION,
    ),
    GlueTask(
        "rte",
        "RTE",
        "Recognizing Textual Entailment: does the first text entail the second?",
        labels=ENTAILMENT,
        tsv=_PAIR,
        hub=_PAIR,
    ),
    GlueTask(
        "wnli",
        "WNLI",
        "Winograd NLI: does the sentence with the pronoun replaced follow?",
        labels=("not_entailment", "entailment"),
        tsv=_PAIR,
        hub=_PAIR,
    ),
)

GLUE: dict[str, GlueTask] = {task.name: task for task in _TASKS}


def plain_name(name: str) -> str:
    """A task's name without case, dashes and underscores: SST-2, sst_2 and sst2 are the same."""
    return name.lower().replace("-", "").replace("_", "")


def find_folder(data_dir: Path, task: GlueTask) -> Path | None:
    """The task's folder in `data_dir`, in any spelling, or `data_dir` itself if it has that name."""
    if not data_dir.is_dir():
        raise RpmaskError(
            f"There is no folder {data_dir}.",
            "--data-dir and RPMASK_GLUE_DIR name a folder that holds RTE/train.tsv and the like.",
        )
    named = [
        child
        for child in (*sorted(data_dir.iterdir()), data_dir)
        if plain_name(child.name) == task.name and child.is_dir()
    ]
    usual = [child for child in named if child.name == task.folder]
    return next(iter(usual + named), None)
