"""CoNLL's columns and lists of words: what is read, and what is refused with its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.registry import check_within_reach, load_task
from rpmask.tasks.words import CONLL2003, read_columns

COLUMNS = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

-DOCSTART- -X- OO O

Peter NNP I-NP I-PER
"""
DATA = Path(os.environ.get("RPMASK_CONLL_DIR", "../shared/data/conll2003"))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_columns(tmp_path: Path) -> None:
    table = read_columns(write(tmp_path, "train.txt", COLUMNS))
    assert table.columns["tokens"] == [["EU", "rejects"], ["Peter"]]
    assert table.columns["tags"] == [["I-ORG", "O"], ["I-PER"]]
    assert table.columns["document"] == [1, 2]
    assert table.places == [3, 8]


def test_conll2003_of_a_folder(tmp_path: Path) -> None:
    for name in ("train.txt", "dev.txt"):
        write(tmp_path, name, COLUMNS)
    data = load_task("CoNLL-2003", DataChoice(data_dir=str(tmp_path), selection_rows=1))
    assert data.spec is CONLL2003
    assert data.dev["dev"]["tags"][:] == [[4, 0], [2]]
    assert len(data.train) == len(data.selection) == 1


def test_own_files_of_both_formats(tmp_path: Path) -> None:
    train = write(tmp_path, "train.conll", COLUMNS)
    dev = write(tmp_path, "dev.jsonl", lines({"tokens": ["Peter"], "tags": ["I-PER"]}))
    data = load_task("names", DataChoice(train=str(train), dev=str(dev), selection_rows=1))
    assert data.spec.kind == "tokens"
    assert data.spec.labels == ("O", "I-ORG", "I-PER")
    assert data.spec.primary == "entity_f1"
    assert data.dev["dev"]["tokens"][:] == [["Peter"]]


def test_tags_that_mark_no_entities_have_an_accuracy(tmp_path: Path) -> None:
    rows = [{"words": ["a", "b"], "pos": ["DT", "NN"]}, {"words": ["c"], "pos": ["NN"]}]
    path = str(write(tmp_path, "train.jsonl", lines(*rows)))
    choice = DataChoice(train=path, dev=path, kind="tokens", text="words", label="pos")
    assert load_task("pos", choice).spec.metrics == ("accuracy",)


def test_documents_stay_together(tmp_path: Path) -> None:
    rows = [{"tokens": ["a"], "tags": ["O"], "document": f"d{n // 5}"} for n in range(50)]
    rows[0]["tags"] = ["B-X"]
    path = str(write(tmp_path, "train.jsonl", lines(*rows)))
    for seed in range(5):
        data = load_task("own", DataChoice(train=path, dev=path, split_seed=seed))
        assert len(data.selection) == 10
        assert not set(data.selection["document"][:]) & set(data.train["document"][:])


def test_one_document_cannot_be_divided(tmp_path: Path) -> None:
    text = "-DOCSTART- O\n\nEU I-ORG\n\nPeter I-PER\n"
    path = str(write(tmp_path, "train.conll", text))
    with pytest.raises(RpmaskError, match="one document"):
        load_task("own", DataChoice(train=path, dev=path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EU I-ORG\nPeter\n", r"dev.txt, line 2: the word 'Peter' has no tag"),
        ("EU I-ORG\n\nPeter I-PERSON\n", r"dev.txt, line 3: unknown tag 'I-PERSON'"),
        ("-DOCSTART- O\n\n-DOCSTART- O\n\nEU O\n", r"dev.txt, line 1: the document .* no words"),
        ("EU O\n\n-DOCSTART- O\n\n", r"dev.txt, line 3: the document .* no words"),
        ("\n\n", r"dev.txt is empty"),
    ],
)
def test_bad_columns(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, "train.txt", COLUMNS)
    write(tmp_path, "dev.txt", text)
    with pytest.raises(RpmaskError, match=expected) as caught:
        load_task("conll2003", DataChoice(data_dir=str(tmp_path)))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"tokens": ["a"], "tags": "O"}, r"line 2, column 'tags': 'O' where a list of tags"),
        ({"tokens": ["a"], "tags": [1]}, r"line 2, column 'tags': \[1\] where a list of tags"),
        ({"tokens": ["a"]}, r"line 2, column 'tags': None where a list of tags"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, r"line 2, column 'tags': 1 tags for 2 words"),
        ({"tokens": ["a"], "tags": ["B-Y"]}, r"line 2, column 'tags': unknown tag 'B-Y' of word 1"),
        ({"tokens": [], "tags": []}, r"line 2, column 'tokens': no words"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, r"column 'tokens': \['a', ' '\] where a list"),
        ({"tokens": "a b", "tags": ["O", "O"]}, r"column 'tokens': 'a b' where a list of words"),
    ],
)
def test_bad_rows(tmp_path: Path, row: dict[str, object], expected: str) -> None:
    good = {"tokens": ["a", "b"], "tags": ["O", "B-X"]}
    train = write(tmp_path, "train.jsonl", lines(good, good))
    dev = write(tmp_path, "dev.jsonl", lines(good, row))
    with pytest.raises(RpmaskError, match=expected) as caught:
        load_task("own", DataChoice(train=str(train), dev=str(dev)))
    assert caught.value.hint


def test_conll2003_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="read from a folder"):
        check_within_reach("conll2003", None)
    with pytest.raises(RpmaskError, match=r"no train.txt or eng.train"):
        load_task("conll2003", DataChoice(data_dir=str(tmp_path)))


def test_the_published_rows() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no CoNLL-2003 in {DATA}: set RPMASK_CONLL_DIR to a folder with train.txt")
    data = load_task("conll2003", DataChoice(data_dir=str(DATA)))
    assert len(data.train) + len(data.selection) == 14041
    assert len(data.dev["dev"]) == 3250
    assert sum(map(len, data.dev["dev"]["tokens"][:])) == 51362
