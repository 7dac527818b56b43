"""Files as the classic distribution has them, of the five tasks that no copy is at hand of.

The rows are made up; what is odd about them is not: lone quotes, empty questions, texts that say "nan" or
"None", rows torn apart by a line break, Windows line ends, classes by name or by index.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.registry import load_task
from rpmask.tasks.spec import TaskData

STSB = [
    "index",
    "genre",
    "filename",
    "year",
    "old_index",
    "source1",
    "source2",
    "sentence1",
    "sentence2",
    "score",
]
QQP = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]
PARSES = ["sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse"]
MNLI = [*["index", "promptID", "pairID", "genre"], *PARSES, "sentence1", "sentence2"]
VOTES = [f"label{i}" for i in range(1, 6)]


def write(path: Path, rows: list[list[str]], newline: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + newline for row in rows)
    path.write_bytes(text.encode())


def examples(data: TaskData) -> list[tuple[str, str, float]]:
    """Train and selection as they stand in the file."""
    both = [*data.train, *data.selection]
    return [
        (row["text"], row["text_pair"], row["label"])
        for row in sorted(both, key=lambda row: row["row"])
    ]


def test_stsb_is_a_regression_with_lone_quotes(tmp_path: Path) -> None:
    start = ["0", "main-captions", "MSRvid", "2012test", "0001", "none", "none"]
    texts = [
        ("A plane is taking off.", "An air plane is taking off.", "5.000"),
        ('"It was a bad day, he said.', "He said: it was a bad day.", "3.800"),
        ("Size 5'7\" at most", '"', "0"),
        ("nan", "None", "0.250"),
    ]
    for split in ("train", "dev"):
        write(tmp_path / "STS-B" / f"{split}.tsv", [STSB, *([*start, *row] for row in texts)])
    data = load_task("sts-b", DataChoice(data_dir=str(tmp_path), selection_rows=2))
    assert data.spec.kind == "regression"
    assert examples(data) == [(a, b, pytest.approx(float(score))) for a, b, score in texts]
    assert data.dev["dev"]["text_pair"][:] == [b for _, b, _ in texts]


def test_qqp_leaves_out_what_a_line_break_tore_apart(tmp_path: Path) -> None:
    rows = [
        QQP,
        ["1", "3", "4", "How do I start?", "What is the way to start?", "1"],
        ["2", "5", "6", '"Is it "true""?', "", "0"],
        ["3", "7", "8", '"What is this'],  # torn inside the first question
        ['and that?"', "What are they?", "0"],
        ["4", "9", "10", "Why?", "For what reason"],  # torn twice inside the second
        [""],
        ["exactly?", "1"],
        ["5", "11", "12", "Who?", "Whom?", "0"],
        ["6", "13", "14", "Where?", "Whither?", "1"],
    ]
    for split in ("train", "dev"):
        write(tmp_path / "QQP" / f"{split}.tsv", rows)
    data = load_task("qqp", DataChoice(data_dir=str(tmp_path), selection_rows=2))
    assert examples(data) == [
        ("How do I start?", "What is the way to start?", 1),
        ('"Is it "true""?', "", 0),
        ("Who?", "Whom?", 0),
        ("Where?", "Whither?", 1),
    ]


def test_qqp_rows_that_lack_a_field_are_not_torn(tmp_path: Path) -> None:
    whole = ["1", "3", "4", "How?", "Why?", "1"]
    for short in (whole[:-1], whole[:2]):
        for split in ("train", "dev"):
            write(tmp_path / "QQP" / f"{split}.tsv", [QQP, whole, short, whole])
        with pytest.raises(RpmaskError, match=rf"line 3: number of fields {len(short)} instead of"):
            load_task("qqp", DataChoice(data_dir=str(tmp_path)))


def test_only_qqp_is_known_to_have_torn_rows(tmp_path: Path) -> None:
    torn = [["0", "Who wrote"], ["it?", "She did.", "entailment"]]
    for split in ("train", "dev"):
        write(
            tmp_path / "QNLI" / f"{split}.tsv", [["index", "question", "sentence", "label"], *torn]
        )
    with pytest.raises(RpmaskError, match="line 2: number of fields 2 instead of 4"):
        load_task("qnli", DataChoice(data_dir=str(tmp_path)))


def test_mnli_has_two_dev_sets(tmp_path: Path) -> None:
    labels = ["neutral", "entailment", "contradiction", "neutral", "entailment"]

    def row(i: int, label: str, votes: int) -> list[str]:
        parses = ["( a ( b . ) )"] * 2 + ["(ROOT (NP (DT a) (. .)))"] * 2
        start = [str(i), f"{i}193", f"{i}193n", "telephone", *parses]
        return [*start, f'uh {i} "yeah', "n/a", *[label] * votes, label]

    folder = tmp_path / "MNLI"
    train = [[*MNLI, "label1", "gold_label"], *(row(i, one, 1) for i, one in enumerate(labels))]
    write(folder / "train.tsv", train)
    for split, label in (("dev_matched", "neutral"), ("dev_mismatched", "contradiction")):
        write(folder / f"{split}.tsv", [[*MNLI, *VOTES, "gold_label"], row(7, label, 5)])
    data = load_task("mnli", DataChoice(data_dir=str(tmp_path), selection_rows=2))
    assert [label for *_, label in examples(data)] == [1, 0, 2, 1, 0]
    assert examples(data)[3][:2] == ('uh 3 "yeah', "n/a")
    assert {split: rows["label"][:] for split, rows in data.dev.items()} == {
        "dev_matched": [1],
        "dev_mismatched": [2],
    }
    (folder / "dev_mismatched.tsv").unlink()
    with pytest.raises(RpmaskError, match=r"no file .*dev_mismatched\.tsv"):
        load_task("mnli", DataChoice(data_dir=str(tmp_path)))


def test_qnli_names_its_classes(tmp_path: Path) -> None:
    rows = [
        ["index", "question", "sentence", "label"],
        ["0", 'What does "it" mean?', "It means it.", "entailment"],
        ["1", "Who?", '"Nobody"', "not_entailment"],
        ["2", "When?", "", "not_entailment"],
    ]
    for split in ("train", "dev"):
        write(tmp_path / "QNLI" / f"{split}.tsv", rows, newline="\r\n")
    data = load_task("qnli", DataChoice(data_dir=str(tmp_path), selection_rows=1))
    assert examples(data) == [
        ('What does "it" mean?', "It means it.", 0),
        ("Who?", '"Nobody"', 1),
        ("When?", "", 1),
    ]


def test_wnli_numbers_its_classes(tmp_path: Path) -> None:
    rows = [
        ["index", "sentence1", "sentence2", "label"],
        ["0", "I stuck a pin through a carrot. It had a hole.", "The carrot had a hole.", "1"],
        ["1", "I stuck a pin through a carrot. It had a hole.", "The pin had a hole.", "0"],
        ["2", '"So," he said.', 'He said: "So."', "1"],
    ]
    for split in ("train", "dev"):
        write(tmp_path / "WNLI" / f"{split}.tsv", rows)
    data = load_task("wnli", DataChoice(data_dir=str(tmp_path), selection_rows=1))
    assert [label for *_, label in examples(data)] == [1, 0, 1]
    assert data.spec.labels[data.dev["dev"]["label"][0]] == "entailment"
