"""The readers keep every value as it is in the file, and every error names its place."""

import csv
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.tasks.glue import GLUE
from rpmask.tasks.split import digest
from rpmask.tasks.tables import (
    read_csv,
    read_json,
    read_jsonl,
    read_parquet,
    read_table,
    read_tsv,
)

RTE = GLUE["rte"]
WHOLE = (
    b"index\tsentence1\tsentence2\tlabel\n"
    b'0\tA "quoted" thing\tcaf\xc3\xa9\tentailment\n'
    b'1\t"open\t\tnot_entailment\n'
)


def write(folder: Path, content: bytes, name: str = "train.tsv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_tsv_keeps_quotes_empty_fields_and_odd_line_breaks(tmp_path: Path) -> None:
    table = read_tsv(write(tmp_path, 'a\tb\n"x\t\n y \tu\u2028v\rw\n'.encode()))
    assert table.column("a") == ['"x', " y "]
    assert table.column("b") == ["", "u\u2028v\rw"]
    assert list(table.places) == [2, 3]


def test_tsv_drops_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    table = read_tsv(write(tmp_path, b"\xef\xbb\xbfQuality\tb\r\n1\tx\r\n"))
    assert dict(table.columns) == {"Quality": ["1"], "b": ["x"]}


def test_tsv_without_header_counts_lines_from_one(tmp_path: Path) -> None:
    table = read_tsv(write(tmp_path, b"s\t1\ns\t0"), ("source", "label"))
    assert table.column("label") == ["1", "0"]
    assert list(table.places) == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nx\ty\nx\n", "line 3: number of fields 1 instead of 2; it ends before column 'b'"),
        (b"a\tb\nx\ty\tz\n", "line 2: number of fields 3 instead of 2; field 3 lies beyond"),
        (b"a\tb\nx\ty\n\n", "line 3: number of fields 1 instead of 2"),
        (b"a\tb\nx\ty\nx\tcaf\xe9\n", "line 3, field 2: byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbfa\tb\n\xff", "line 2, field 1: byte 0xff is not UTF-8"),
        (b"a\ta\nx\ty\n", "names the column 'a' more than once"),
        (b"a\tb\n", "has no rows"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
    ],
)
def test_tsv_faults_are_placed(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(RpmaskError) as caught:
        read_tsv(path)
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message
    assert caught.value.hint


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match=r"There is no file .*nowhere\.tsv"):
        read_tsv(tmp_path / "nowhere.tsv")
    with pytest.raises(RpmaskError, match="Is a directory"):
        read_tsv(tmp_path)
    write(tmp_path, b"a\tb\n")
    for ending in ("tsv", "parquet"):
        (tmp_path / f"reviews-dev.{ending}").touch()
        with pytest.raises(RpmaskError, match="There is no file") as caught:
            read_table(tmp_path / f"reviews-dv.{ending}")
        assert caught.value.hint == f"Is it {tmp_path / 'reviews-dev'}.{ending}?"


def test_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="no column 'label'") as caught:
        read_tsv(write(tmp_path, b"a\tb\nx\ty\n")).column("label")
    assert caught.value.hint.startswith("Its columns are: a, b. Name those to read with --text")


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_characters="\x00", codec="utf-8"))] * 2),
        min_size=1,
    )
)
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = read_csv(path)
    assert list(zip(table.column("a"), table.column("b"), strict=True)) == rows


def test_csv_places_are_the_lines_rows_begin_on(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, b'a,b\n"1\n2",x\n\n3,y\n', "x.csv"))
    assert table.column("a") == ["1\n2", "3"]
    assert list(table.places) == [2, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a,b\nx,"y" z\n', "line 2: ',' expected after '\"'"),
        (b'a,b\nx,"never closed\n', "line 2: unexpected end of data"),
        (b"a,b\nx,y\nx\n", "line 3: number of fields 1 instead of 2; it ends before column 'b'"),
        (b"a,b\nx," + b"y" * 200_000 + b"\n", "line 2: field larger than field limit"),
        (b"a,b\nx,\xff\n", "line 2, field 2: byte 0xff is not UTF-8"),
        (b"a,b\n", "has no rows"),
    ],
)
def test_csv_faults_are_placed(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(RpmaskError) as caught:
        read_csv(write(tmp_path, content, "x.csv"))
    assert message in caught.value.message


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A whole RTE file with a few stretches of bytes replaced by others."""
    content = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 6)))
        pieces = st.sampled_from([b"\t", b"\n", b"\r\n", b'"', b"\xff", b"\x00", b"0", b"nan"])
        content[start:stop] = draw(pieces | st.binary(max_size=6))
    return bytes(content)


@settings(deadline=None, max_examples=300)
@given(mutated())
def test_any_bytes_give_rows_or_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content, "mutated.tsv")
    try:
        rows = RTE.rows(read_tsv(path), RTE.tsv)
    except RpmaskError:
        return
    assert set(rows["label"][:]) <= {0, 1}
    assert len(digest(rows)) == 64
    # What was read says the file again: no character was lost or changed on the way.
    text = content.decode("utf-8-sig")
    assert all(value in text for value in rows["text"][:] + rows["text_pair"][:])


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
def test_any_json_bytes_give_a_table_or_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    path = write(tmp_path_factory.getbasetemp(), raw, "any.jsonl")
    try:
        table = read_jsonl(path)
    except RpmaskError:
        return
    assert all(len(values) == len(table.places) for values in table.columns.values())
