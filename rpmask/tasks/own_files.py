"""Read a user's own files, or a dataset of the hub, and find out the task in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks import passages, questions, words
from rpmask.tasks.glue import GlueTask, plain_name
from rpmask.tasks.hub_table import SPLITS, is_on_hub, read_hub_table
from rpmask.tasks.rows import Columns, class_name, number, text_rows
from rpmask.tasks.spec import TaskRows, TaskSpec
from rpmask.tasks.squad import SQUADS
from rpmask.tasks.tables import Table, read_table

KINDS = CLASSES, NUMBERS, WORDS, QUESTIONS, LANGUAGE = (
    *("classification", "regression"),
    *(words.KIND, questions.KIND, passages.KIND),
)
MANY_VALUES = 20  # float labels with more distinct values than this are a scale, not classes


def read_own(name: str, choice: DataChoice, known: GlueTask | None = None) -> TaskRows:
    """Read a user's rows as those of the known task, or of the task that the train rows describe."""
    assert choice.train is not None, "read_own needs rows"
    places = choice.train, choice.dev or choice.train
    if known is None:
        _check_names(name, choice.kind)
    if known is None and choice.kind == LANGUAGE:
        return passages.read_language(name, places, choice.text)
    train, dev = (_read(place, split, known) for place, split in zip(places, SPLITS, strict=True))
    if known is None and _has_words(train, choice):
        return _read_words(name, choice, train, dev)
    if known is None and _has_questions(train, choice):
        return _read_questions(name, choice, train, dev)
    columns = Columns(choice.text, choice.label, choice.text_pair)
    spec = known.spec if known else _describe(name, choice, train)
    check = known.rows if known else partial(text_rows, spec=spec)
    source = f"files:{train.source},{dev.source}"
    return TaskRows(spec, check(train, columns), {"dev": check(dev, columns)}, source)


def _read(place: str, split: str, known: GlueTask | None) -> Table:
    if is_on_hub(place):
        return read_hub_table(place, split)
    path = Path(place)
    if known is None and path.suffix.lower() in words.COLUMN_FILES:
        return words.read_columns(path)
    return read_table(path)


def _has_words(train: Table, choice: DataChoice) -> bool:
    """Whether the rows are words with a tag each, as --kind says or their list of words shows."""
    if choice.kind is not None:
        return choice.kind == WORDS
    return isinstance(train.columns.get(words.TOKENS, [None])[0], list)


def _read_words(name: str, choice: DataChoice, train: Table, dev: Table) -> TaskRows:
    text, label = choice.text, choice.label
    text = words.TOKENS if text == DataChoice.text else text
    label = words.TAGS if label == DataChoice.label else label
    spec = words.CONLL2003
    if plain_name(name) != spec.name:
        labels = words.tags_of(train, label)
        metrics = words.ENTITY_METRICS if words.mark_entities(labels) else ("accuracy",)
        spec = TaskSpec(
            name=name,
            title=f"tags of the words in {Path(train.source).name}",
            kind=WORDS,
            labels=labels,
            pair=False,
            metrics=metrics,
            primary=metrics[0],
        )
    rows = [words.word_rows(table, spec, words=text, tags=label) for table in (train, dev)]
    return TaskRows(spec, rows[0], {"dev": rows[1]}, f"files:{train.source},{dev.source}")


def _has_questions(train: Table, choice: DataChoice) -> bool:
    """Whether a row is a question with its answers in a text, as --kind says or the columns show."""
    if choice.kind is not None:
        return choice.kind == QUESTIONS
    return {questions.QUESTION, questions.CONTEXT, questions.ANSWERS} <= set(train.columns)


def _read_questions(name: str, choice: DataChoice, train: Table, dev: Table) -> TaskRows:
    text, label = choice.text, choice.label
    text = questions.QUESTION if text == DataChoice.text else text
    label = questions.ANSWERS if label == DataChoice.label else label
    known = SQUADS.get(plain_name(name))
    spec = (
        known.spec
        if known
        else questions.span_task(
            name,
            f"answers in the texts of {Path(train.source).name}",
            none=questions.has_none(train, label),
        )
    )
    columns = {"question": text, "context": choice.text_pair or questions.CONTEXT, "answers": label}
    rows = [questions.question_rows(table, spec, **columns) for table in (train, dev)]
    return TaskRows(spec, rows[0], {"dev": rows[1]}, f"files:{train.source},{dev.source}")


def _check_names(name: str, kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise RpmaskError(
            f"'{kind}' is no kind of task.", f"Give {', '.join(KINDS[:-1])} or {KINDS[-1]}."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise RpmaskError(
            f"'{name}' cannot name a task.",
            "Use letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )


def _describe(name: str, choice: DataChoice, train: Table) -> TaskSpec:
    values = train.column(choice.label)
    for i, value in enumerate(values):
        if class_name(value) is None:
            raise train.error(
                i, choice.label, f"no label ({value!r})", "Give every row a label or leave it out."
            )
    kind = choice.kind or _kind(values)
    labels = () if kind == NUMBERS else _class_names(choice, train, values)
    metrics: tuple[str, ...] = ("accuracy", "matthews_correlation")
    if not labels:
        metrics = ("pearson", "spearmanr", "combined")
    elif len(labels) == 2:
        metrics = ("accuracy", "f1", "matthews_correlation")
    return TaskSpec(
        name=name,
        title=f"{kind} of the texts in {Path(train.source).name}",
        kind=kind,
        labels=labels,
        pair=choice.text_pair is not None,
        metrics=metrics,
        primary="accuracy" if labels else "combined",
    )


def _kind(values: Sequence[object]) -> str:
    """Regression if the labels are written as floats and are fractions or many; else classification."""
    numbers: set[float] = set()
    floats = False
    for value in values:
        score = number(value)
        if score is None:
            return CLASSES
        numbers.add(score)
        floats = floats or isinstance(value, float) or not _whole(value)
    fractions = not all(score.is_integer() for score in numbers)
    scale = floats and (fractions or len(numbers) > MANY_VALUES)
    return NUMBERS if scale else CLASSES


def _whole(value: object) -> bool:
    """Whether a label is written as a whole number of sane length, without point or exponent."""
    return re.fullmatch(r"\s*[+-]?\d{1,18}\s*", str(value)) is not None


def _class_names(choice: DataChoice, train: Table, values: Sequence[object]) -> tuple[str, ...]:
    """The classes in order: whole numbers by value, other names by spelling."""
    names = {name for value in values if (name := class_name(value)) is not None}
    if len(names) == 1:
        raise RpmaskError(
            f"{train.source}: every label in column '{choice.label}' is '{names.pop()}'.",
            "A classification needs at least two classes.",
        )
    if choice.kind is None and len(names) > max(MANY_VALUES, len(values) // 2):
        raise RpmaskError(
            f"{train.source}: column '{choice.label}' has {len(names)} different values in "
            f"{len(values)} rows, too many to be classes.",
            "Name the right column with --label, or give --kind classification or regression.",
        )
    if all(_whole(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
