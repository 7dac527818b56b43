"""The nine GLUE tasks: their specs, and their columns on the hub and in the classic TSV layout.

Class indices are the hub's, so that a model fine-tuned elsewhere fits; the TSV files of RTE, QNLI
and MNLI spell the names out and those of the others hold the indices. Row counts: RTE 2490 train
and 277 dev, MRPC 3668 and 408, SST-2 67349 and 872, CoLA 8551 and 1043.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.tasks.rows import Columns, Rows, rows_of
from rpmask.tasks.spec import TaskSpec
from rpmask.tasks.tables import Table, read_tsv

CORRELATIONS = ("pearson", "spearmanr", "combined")
ACCURACY_F1 = ("accuracy", "f1", "combined")


@dataclass(frozen=True)
class GlueTask:
    """One task: what it is, its folder's usual name, and where its columns are.

    torn_rows: line breaks inside its texts tear some rows apart; they are left out, as on the hub.
    """

    spec: TaskSpec
    folder: str
    tsv: Columns
    hub: Columns
    header: tuple[str, ...] | None = None
    score_range: tuple[float, float] | None = None
    torn_rows: bool = False

    def rows(self, table: Table, columns: Columns) -> Rows:
        """Check a table of this task."""
        return rows_of(table, columns, self.spec, indices=True, score_range=self.score_range)


_SENTENCE = Columns("sentence", "label")
_PAIR = Columns("sentence1", "label", "sentence2")

_TASKS = (
    GlueTask(
        TaskSpec(
            name="cola",
            title="Corpus of Linguistic Acceptability: is the sentence grammatical?",
            kind="classification",
            labels=("unacceptable", "acceptable"),
            pair=False,
            metrics=("matthews_correlation",),
            primary="matthews_correlation",
        ),
        folder="CoLA",
        tsv=_SENTENCE,
        hub=_SENTENCE,
        header=("source", "label", "author_label", "sentence"),
    ),
    GlueTask(
        TaskSpec(
            name="sst2",
            title="Stanford Sentiment Treebank: is the review positive?",
            kind="classification",
            labels=("negative", "positive"),
            pair=False,
            metrics=("accuracy",),
            primary="accuracy",
        ),
        folder="SST-2",
        tsv=_SENTENCE,
        hub=_SENTENCE,
    ),
    GlueTask(
        TaskSpec(
            name="mrpc",
            title="Microsoft Research Paraphrase Corpus: do both sentences say the same?",
            kind="classification",
            labels=("not_equivalent", "equivalent"),
            pair=True,
            metrics=ACCURACY_F1,
            primary="combined",
        ),
        folder="MRPC",
        tsv=Columns("#1 String", "Quality", "#2 String"),
        hub=_PAIR,
    ),
    GlueTask(
        TaskSpec(
            name="stsb",
            title="Semantic Textual Similarity Benchmark: how alike are the sentences, 0 to 5?",
            kind="regression",
            labels=(),
            pair=True,
            metrics=CORRELATIONS,
            primary="combined",
        ),
        folder="STS-B",
        tsv=Columns("sentence1", "score", "sentence2"),
        hub=_PAIR,
        score_range=(0.0, 5.0),
    ),
    GlueTask(
        TaskSpec(
            name="qqp",
            title="Quora Question Pairs: do both questions ask the same?",
            kind="classification",
            labels=("not_duplicate", "duplicate"),
            pair=True,
            metrics=ACCURACY_F1,
            primary="combined",
        ),
        folder="QQP",
        tsv=Columns("question1", "is_duplicate", "question2"),
        hub=Columns("question1", "label", "question2"),
        torn_rows=True,
    ),
    GlueTask(
        TaskSpec(
            name="mnli",
            title="MultiNLI: does the premise entail, contradict or leave open the hypothesis?",
            kind="classification",
            labels=("entailment", "neutral", "contradiction"),
            pair=True,
            metrics=("accuracy",),
            primary="accuracy",
            dev_splits=("dev_matched", "dev_mismatched"),
        ),
        folder="MNLI",
        tsv=Columns("sentence1", "gold_label", "sentence2"),
        hub=Columns("premise", "label", "hypothesis"),
    ),
    GlueTask(
        TaskSpec(
            name="qnli",
            title="Question NLI: does the sentence answer the question?",
            kind="classification",
            labels=("entailment", "not_entailment"),
            pair=True,
            metrics=("accuracy",),
            primary="accuracy",
        ),
        folder="QNLI",
        tsv=Columns("question", "label", "sentence"),
        hub=Columns("question", "label", "sentence"),
    ),
    GlueTask(
        TaskSpec(
            name="rte",
            title="Recognizing Textual Entailment: does the first text entail the second?",
            kind="classification",
            labels=("entailment", "not_entailment"),
            pair=True,
            metrics=("accuracy",),
            primary="accuracy",
        ),
        folder="RTE",
        tsv=_PAIR,
        hub=_PAIR,
    ),
    GlueTask(
        TaskSpec(
            name="wnli",
            title="Winograd NLI: does the sentence with the pronoun replaced follow?",
            kind="classification",
            labels=("not_entailment", "entailment"),
            pair=True,
            metrics=("accuracy",),
            primary="accuracy",
        ),
        folder="WNLI",
        tsv=_PAIR,
        hub=_PAIR,
    ),
)

GLUE: dict[str, GlueTask] = {task.spec.name: task for task in _TASKS}


def plain_name(name: str) -> str:
    """A task's name without case, dashes and underscores: SST-2, sst_2 and sst2 are one."""
    return name.lower().replace("-", "").replace("_", "")


def find_folder(data_dir: Path, task: GlueTask) -> Path | None:
    """The task's folder below `data_dir`, whatever its case, or `data_dir` if that is it."""
    if not data_dir.is_dir():
        raise RpmaskError(
            f"There is no folder {data_dir}.",
            "--data-dir and RPMASK_GLUE_DIR name a folder that holds RTE/train.tsv and the like.",
        )
    named = [
        child
        for child in (*sorted(data_dir.iterdir()), data_dir)
        if plain_name(child.name) == task.spec.name and child.is_dir()
    ]
    usual = [child for child in named if child.name == task.folder]
    return next(iter(usual + named), None)


def read_folder(folder: Path, task: GlueTask) -> tuple[Rows, dict[str, Rows]]:
    """Train and dev rows of a folder in the classic layout (train.tsv, dev.tsv)."""

    def read(split: str) -> Rows:
        path = folder / f"{split}.tsv"
        return task.rows(read_tsv(path, task.header, drop_torn=task.torn_rows), task.tsv)

    return read("train"), {split: read(split) for split in task.spec.dev_splits}
