"""JSON lines, JSON and Parquet: values as they are, every fault placed."""

from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.tasks.structured import read_json, read_jsonl, read_parquet


def write(folder: Path, content: bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_json_lines_keep_types_and_places(tmp_path: Path) -> None:
    content = b'{"text": "a\\nb", "label": 1}\n\n{"label": 0.5, "more": null}\n'
    table = read_jsonl(write(tmp_path, content, "x.jsonl"))
    assert table.columns == {"text": ["a\nb", None], "label": [1, 0.5], "more": [None, None]}
    assert list(table.places) == [1, 3]


def test_json_list(tmp_path: Path) -> None:
    table = read_json(write(tmp_path, b'[{"text": "a"}, {"text": ""}]', "x.json"))
    assert table.columns == {"text": ["a", ""]}
    assert (list(table.places), table.unit) == ([1, 2], "row")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": }\n', "line 2, character 7: not JSON: Expecting value"),
        (b'{"a": 1}\n[1]\n', "line 2: an object was expected, not list"),
        (b"[" * 100_000, "line 1: maximum recursion depth"),
        (b'{"a": ' + b"9" * 5000 + b"}", "line 1: Exceeds the limit"),
        (b'{"a": "\xff"}', "line 1: byte 0xff is not UTF-8"),
    ],
)
def test_json_lines_faults(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        read_jsonl(write(tmp_path, content, "x.jsonl"))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}', "should hold a list of objects, not dict"),
        (b"[]", "has no rows"),
        (b'[\n{"a": 1},\n{"a"}]', "line 3, character 5: not JSON"),
        (b'[{"a": 1}, 2]', "row 2: an object was expected, not int"),
    ],
)
def test_json_faults(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        read_json(write(tmp_path, content, "x.json"))
    assert message in caught.value.message


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = {"text": ["a", None], "label": [1, 0]}
    datasets.Dataset.from_dict(rows).to_parquet(str(path))
    table = read_parquet(path)
    assert table.columns == rows
    assert list(table.places) == [1, 2]

    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RpmaskError, match=r"Cannot read .*x\.parquet as Parquet"):
        read_parquet(path)
    with pytest.raises(RpmaskError, match="There is no file"):
        read_parquet(tmp_path / "nowhere.parquet")


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,\\u0a1e-nulltr ', max_size=40))
def test_any_bytes_give_a_table_or_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    path = write(tmp_path_factory.getbasetemp(), raw, "any.jsonl")
    try:
        table = read_jsonl(path)
    except RpmaskError:
        return
    assert all(len(values) == len(table.places) for values in table.columns.values())
