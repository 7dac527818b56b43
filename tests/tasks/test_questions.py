"""Questions from SQuAD's JSON, JSON lines and Parquet, and rows that are refused with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks.questions import ENDS, ENDS_OR_NONE
from rpmask.tasks.registry import get_spec, load_task
from rpmask.tasks.squad import SQUAD, SQUAD_V2

TEXT = "The chef stirred the soup. It was hot."


def row(number: int, answer: str | None = "chef", start: int = 4, **other: Any) -> dict[str, Any]:
    """A question as the hub's rows have it."""
    answers = {"text": [answer], "answer_start": [start]} if answer is not None else {}
    empty: dict[str, list[Any]] = {"text": [], "answer_start": []}
    return {
        "id": f"q{number}",
        "title": f"t{number // 3}",
        "question": "Who?",
        "context": f"{TEXT} {number}",
        "answers": answers or empty,
        **other,
    }


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(path)


def nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same rows in SQuAD's articles."""
    articles: dict[str, Any] = {}
    for each in rows:
        pairs = zip(each["answers"]["text"], each["answers"]["answer_start"], strict=True)
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
        qa = {"id": each["id"], "question": each["question"], "answers": answers}
        articles.setdefault(each["title"], []).append({"context": each["context"], "qas": [qa]})
    return {"data": [{"title": name, "paragraphs": each} for name, each in articles.items()]}


def own(tmp_path: Path, rows: list[dict[str, Any]], name: str = "mine", **choice: Any) -> Any:
    file = lines(tmp_path / "rows.jsonl", rows)
    return load_task(name, DataChoice(train=file, dev=file, **choice))


def test_forms_of_the_same_rows(tmp_path: Path) -> None:
    """SQuAD's JSON, JSON lines and Parquet, with the articles whole in train or in the selection split."""
    import pyarrow
    import pyarrow.parquet

    rows = [row(number, None if number == 5 else "chef") for number in range(12)]
    folder = tmp_path / "squad"
    folder.mkdir()
    (folder / "train-v2.0.json").write_text(json.dumps(nested(rows)))
    (folder / "dev.json").write_text(json.dumps(nested(rows)))
    data = load_task("SQuAD-v2", DataChoice(data_dir=str(folder)))
    assert data.spec is SQUAD_V2.spec is get_spec("squad_v2")
    dev = data.dev["dev"]
    assert dev[0] == {
        "question": "Who?",
        "context": f"{TEXT} 0",
        "answers": ["chef"],
        "starts": [4],
        "id": "q0",
        "document": 0,
        "row": 0,
    }
    assert (dev["answers"][5], dev["starts"][5]) == ([], [])
    assert not {*data.train["document"]} & {*data.selection["document"]}
    assert len(data.train) + len(data.selection) == 12

    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    for file in (lines(tmp_path / "rows.jsonl", rows), str(tmp_path / "rows.parquet")):
        mine = load_task("mine", DataChoice(train=file, dev=file))
        assert mine.spec.labels == ENDS_OR_NONE
        assert mine.dev["dev"][:] == dev[:]


def test_without_unanswerable_rows_every_question_has_an_answer(tmp_path: Path) -> None:
    data = own(tmp_path, [row(number) for number in range(6)])
    assert data.spec.labels == ENDS
    assert data.spec.metrics == ("f1", "exact_match")
    assert own(tmp_path, [row(number) for number in range(6)], "squad").spec is SQUAD.spec


def test_contexts_stay_together_where_no_article_is_named(tmp_path: Path) -> None:
    rows = [row(number, context=f"{TEXT} {number // 4}") for number in range(12)]
    for each in rows:
        del each["title"]
    data = own(tmp_path, rows)
    assert not {*data.train["context"]} & {*data.selection["context"]}
    assert len(data.selection) == 4


def test_other_names_of_columns(tmp_path: Path) -> None:
    rows = [
        {"q": "Who?", "passage": f"{TEXT} {number}", "found": [{"text": "chef", "answer_start": 4}]}
        for number in range(6)
    ]
    data = own(tmp_path, rows, kind="spans", text="q", text_pair="passage", label="found")
    assert data.dev["dev"][1] == {
        "question": "Who?",
        "context": f"{TEXT} 1",
        "answers": ["chef"],
        "starts": [4],
        "id": "1",
        "document": 1,
        "row": 1,
    }


BAD = [
    (row(1, "cook"), "the answer 'cook' is not in its context", "leave the question out"),
    (row(1, "chef", 5), "'chef' is not at character 5 of its context", "It is at 4"),
    (row(1, " ", 3), "an empty answer", "Leave the answer out"),
    (row(1, context="  "), "column 'context': an empty text", "Leave the row out"),
    (row(1, question=None), "column 'question': no value", "Write a string"),
    (row(1, answers="chef"), "'chef' where answers and their places", "has empty lists"),
    (row(1, answers={"text": ["chef"]}), "where answers and their places", "answer_start"),
    (row(1, answers=[{"text": "chef"}]), "where answers and their places", "answer_start"),
]


@pytest.mark.parametrize(("bad", "message", "hint"), BAD)
def test_bad_rows_have_a_place(
    tmp_path: Path, bad: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(RpmaskError) as caught:
        own(tmp_path, [row(0), bad, row(2)])
    assert "rows.jsonl, line 2, column '" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_bad_question_of_squad_is_named_by_its_id(tmp_path: Path) -> None:
    for name, rows in (("train", [row(0), row(1)]), ("dev", [row(0), row(1, "cook")])):
        (tmp_path / f"{name}.json").write_text(json.dumps(nested(rows)))
    with pytest.raises(
        RpmaskError, match=r"dev.json, question q1, column 'answers': the answer 'cook'"
    ):
        load_task("squad", DataChoice(data_dir=str(tmp_path)))
    (tmp_path / "dev.json").write_text(json.dumps(nested([row(0, None)])))
    with pytest.raises(
        RpmaskError, match="no answer, and every question of 'squad' has one"
    ) as caught:
        load_task("squad", DataChoice(data_dir=str(tmp_path)))
    assert "squad_v2" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"data": 1}, "it has no list 'data'"),
        ({"data": [{"title": "a"}]}, "article 1 has no list 'paragraphs'"),
        (
            {"data": [{"paragraphs": [{"context": "a"}]}]},
            "paragraph 1 of article 1 has no list 'qas'",
        ),
        ({"data": [{"paragraphs": [{"context": "a", "qas": ["b"]}]}]}, "is no object"),
        ({"data": []}, "has no rows"),
    ],
)
def test_what_is_not_squads_format(tmp_path: Path, raw: Any, message: str) -> None:
    file = tmp_path / "train.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(RpmaskError) as caught:
        load_task("mine", DataChoice(train=str(file), dev=str(file)))
    assert message in caught.value.message


def test_a_folder_without_files_and_a_question_that_none_may_answer(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match=r"has no train.json, train-v1.1.json or train.jsonl"):
        load_task("squad", DataChoice(data_dir=str(tmp_path)))
    rows = nested([row(0), row(1)])
    rows["data"][0]["paragraphs"][0]["qas"][0]["is_impossible"] = True
    for name in ("train", "dev"):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    data = load_task("squad_v2", DataChoice(data_dir=str(tmp_path)))
    assert data.dev["dev"]["answers"][:] == [[], ["chef"]]
