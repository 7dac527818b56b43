"""Plain text as passages, and the documents of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.tasks import passages
from rpmask.tasks.registry import load_task


@pytest.mark.parametrize(
    "text", ["one line", "a\nb\n\nc", "word " * 9000, "x" * 9000, "a line of it\n" * 900 + "end"]
)
def test_passages_in_order_are_the_text(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    rows = passages.read_language("mine", [str(path)] * 2, "text").train
    assert "".join(rows["text"]) == text
    assert list(rows["continues"]) == [False] + [True] * (len(rows) - 1)
    assert max(map(len, rows["text"])) <= max(9000 if text[0] == "x" else 0, 5 * passages.PASSAGE)


def test_articles_of_wikitext_stay_together(tmp_path: Path) -> None:
    article = " \n = Title {} = \n \n" + " Some words of an article . \n" * 300 + " = = Part = = \n"
    whole = "".join(article.format(i) for i in range(5))
    for name in ("train.txt", "dev.txt"):
        (tmp_path / name).write_text(whole)
    data = load_task("WikiText-2", DataChoice(data_dir=str(tmp_path), selection_rows=1))
    assert data.spec is passages.WIKITEXT2
    (chosen,) = set(data.selection["document"])
    assert chosen not in data.train["document"]
    assert len(data.selection) > 1
    assert "".join(data.dev["dev"]["text"]) == whole


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": " "}', "line 2, column 'text': an empty document"),
        ('{"text": 3}', "line 2, column 'text': 3 where a text was expected"),
        ("{}", "line 2, column 'text': no value where a text was expected"),
    ],
)
def test_bad_documents_name_their_line(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a document"}\n' + line + "\n")
    with pytest.raises(RpmaskError, match=problem):
        passages.read_language("mine", [str(path)] * 2, "text")


def test_the_hubs_lines_are_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [" = A title = \n", "", " Words of an article . \n", "", " = Another = \n", " End . \n"]

    class Hub:
        def load(self) -> tuple[dict[str, dict[str, list[str]]], str]:
            return {name: {"text": lines} for name in ("train", "dev")}, "hub:x"

    monkeypatch.setattr(passages, "ON_HUB", Hub())
    rows = passages.read_wikitext2(None)
    assert "".join(rows.dev["dev"]["text"]) == "".join(line or "\n" for line in lines)
    assert list(rows.train["document"]) == [0, 1]


def test_a_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match=r"has no train\.txt or wiki\.train\.raw"):
        load_task("wikitext2", DataChoice(data_dir=str(tmp_path)))


def test_fewer_train_rows_are_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a line of a text\n" * 2000)
    choice = DataChoice(train=str(path), dev=str(path), kind="language", train_rows=10)
    data = load_task("mine", choice)
    kept = list(data.train["row"])
    assert len(kept) == 10
    assert kept[-1] - kept[0] < 10 + 16  # but for a stretch or two of the selection


def test_another_text_takes_the_place_of_the_training_text(tmp_path: Path) -> None:
    for name in ("train.txt", "dev.txt", "other.txt"):
        (tmp_path / name).write_text(f"the words of {name}\n" * 400)
    choice = DataChoice(data_dir=str(tmp_path), calibration=str(tmp_path / "other.txt"))
    data, usual = (
        load_task("wikitext2", each) for each in (choice, DataChoice(data_dir=str(tmp_path)))
    )
    for split in (data.train, data.selection):
        assert set("".join(split["text"]).split()) == {"the", "words", "of", "other.txt"}
    assert data.dev["dev"]["text"] == usual.dev["dev"]["text"]
    assert data.digests["dev"] == usual.digests["dev"]
    assert data.digests["train"] != usual.digests["train"]
    with pytest.raises(RpmaskError, match="--calibration names a text, and task 'demo'"):
        load_task("demo", DataChoice(calibration=str(tmp_path / "other.txt")))
