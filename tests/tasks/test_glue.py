"""The classic layout: each task's own file format, and what its labels mean."""

from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.tasks.glue import GLUE, find_folder
from rpmask.tasks.metrics import METRICS

MNLI_PARSES = "\t".join(f"{side}_{kind}" for kind in ("binary", "parse") for side in ("s1", "s2"))
MNLI_START = f"index\tpromptID\tpairID\tgenre\t{MNLI_PARSES}\tsentence1\tsentence2\t"

# Task, header (None: the file has none), one row, and the example it means.
FORMATS = [
    ("cola", None, "gj04\t0\t*\tHim slept.", ("Him slept.", None, 0)),
    ("sst2", "sentence\tlabel", "not bad \t1", ("not bad ", None, 1)),
    (
        "mrpc",
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t7\t8\tHe said " no .\t"No" , he said .',
        ('He said " no .', '"No" , he said .', 1),
    ),
    (
        "stsb",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tmain\tf\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t4.750",
        ("A plane.", "An air plane.", 4.75),
    ),
    (
        "qqp",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "3\t5\t6\tHow?\t\t0",
        ("How?", "", 0),
    ),
    (
        "qnli",
        "index\tquestion\tsentence\tlabel",
        "0\tWho?\tNobody.\tnot_entailment",
        ("Who?", "Nobody.", 1),
    ),
    (
        "rte",
        "index\tsentence1\tsentence2\tlabel",
        "0\tIt rains.\tIt is wet.\tentailment",
        ("It rains.", "It is wet.", 0),
    ),
    (
        "wnli",
        "index\tsentence1\tsentence2\tlabel",
        "0\tIt fell.\tThe cup fell.\t1",
        ("It fell.", "The cup fell.", 1),
    ),
]


def lay_out(folder: Path, header: str | None, row: str, splits: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    for split in splits:
        lines = ([header] if header else []) + [row]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(("name", "header", "row", "example"), FORMATS)
def test_each_format(
    tmp_path: Path, name: str, header: str | None, row: str, example: tuple[object, ...]
) -> None:
    task = GLUE[name]
    lay_out(tmp_path / task.folder, header, row, ("train", "dev"))
    found = task.read_folder(tmp_path / task.folder)
    for rows in (found.train, found.dev["dev"]):
        assert (rows[0]["text"], rows[0].get("text_pair"), rows[0]["label"]) == example


def test_mnli_has_two_dev_sets_with_more_columns_than_train(tmp_path: Path) -> None:
    parses = "\t".join(["0", "1", "1a", "fiction", *["( )"] * 4])
    lay_out(tmp_path / "MNLI", f"{MNLI_START}label1\tgold_label",
            f"{parses}\tP\tH\tneutral\tneutral", ("train",))  # fmt: skip
    five = "\t".join(f"label{i}" for i in range(1, 6))
    for split, gold in (("dev_matched", "entailment"), ("dev_mismatched", "contradiction")):
        votes = "\t".join(["neutral"] * 5)
        content = f"{MNLI_START}{five}\tgold_label\n{parses}\tP\tH\t{votes}\t{gold}\n"
        (tmp_path / "MNLI" / f"{split}.tsv").write_text(content, encoding="utf-8")
    found = GLUE["mnli"].read_folder(tmp_path / "MNLI")
    assert found.train[:] == {"text": ["P"], "text_pair": ["H"], "label": [1], "row": [0]}
    assert {split: rows["label"][:] for split, rows in found.dev.items()} == {
        "dev_matched": [0],
        "dev_mismatched": [2],
    }


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("rte", "0\ta\tb\tmaybe", "line 2, column 'label': unknown label 'maybe'"),
        ("rte", "0\ta\tb", "line 2: number of fields 3 instead of 4"),
        ("cola", "gj04\t2\t\tx", "line 1, column 'label': unknown label '2'"),
        ("stsb", "\t".join(["0"] * 9) + "\t5.5", "line 2, column 'score': '5.5' is out of range"),
        ("stsb", "\t".join(["0"] * 9) + "\tnan", "line 2, column 'score': 'nan' is not a finite"),
    ],
)
def test_bad_rows_name_the_file(tmp_path: Path, name: str, row: str, message: str) -> None:
    header = {task: header for task, header, *_ in FORMATS}[name]
    lay_out(tmp_path / "x", header, row, ("train", "dev"))
    with pytest.raises(RpmaskError) as caught:
        GLUE[name].read_folder(tmp_path / "x")
    assert f"{tmp_path / 'x' / 'train.tsv'}, {message}" in caught.value.message


def test_a_renamed_column_is_missed(tmp_path: Path) -> None:
    lay_out(tmp_path / "x", "index\tsentence1\tsentence2\tclass", "0\ta\tb\tc", ("train", "dev"))
    with pytest.raises(RpmaskError, match=r"train\.tsv has no column 'label'"):
        GLUE["rte"].read_folder(tmp_path / "x")


@pytest.mark.parametrize("spelling", ["SST-2", "sst2", "SST2", "sst-2"])
def test_folders_are_found_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    (tmp_path / spelling).mkdir()
    (tmp_path / "STS-B").mkdir()
    assert find_folder(tmp_path, GLUE["sst2"]) == tmp_path / spelling
    assert find_folder(tmp_path / spelling, GLUE["sst2"]) == tmp_path / spelling
    assert find_folder(tmp_path, GLUE["rte"]) is None


def test_the_usual_spelling_comes_first_and_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "RTE").touch()
    assert find_folder(tmp_path, GLUE["rte"]) is None
    (tmp_path / "mrpc").mkdir()
    (tmp_path / "MRPC").mkdir(exist_ok=True)
    assert find_folder(tmp_path, GLUE["mrpc"]) == tmp_path / "MRPC"
    with pytest.raises(RpmaskError, match="There is no folder"):
        find_folder(tmp_path / "nowhere", GLUE["rte"])


def test_specs_hold_together() -> None:
    assert tuple(GLUE) == (
        "cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli",
    )  # fmt: skip
    for name, task in GLUE.items():
        spec = task.spec
        assert spec.name == name
        assert spec.primary in spec.metrics
        assert set(spec.metrics) <= {*METRICS, "combined"}
        assert spec.pair == (task.hub.text_pair is not None)
