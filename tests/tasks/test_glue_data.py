"""The reader on the benchmark's own files, where a copy of them is at hand."""

import os
from pathlib import Path

import pytest

from rpmask.heads.metrics import majority
from rpmask.tasks.glue import GLUE, find_folder

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "glue"
DATA = Path(os.environ.get("RPMASK_GLUE_DIR") or BESIDE)

# MRPC has 3668 train rows; copies are about that lack one of them.
COUNTS = {
    "rte": ({2490}, 277),
    "mrpc": ({3667, 3668}, 408),
    "sst2": ({67349}, 872),
    "cola": ({8551}, 1043),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_row_is_read_as_it_stands(name: str) -> None:
    task = GLUE[name]
    folder = find_folder(DATA, task) if DATA.is_dir() else None
    if folder is None:
        pytest.skip(f"no {task.folder} in {DATA}: set RPMASK_GLUE_DIR to a copy of GLUE")
    found = task.read_folder(folder)
    train, dev = found.train, found.dev
    assert len(train) in COUNTS[name][0]
    assert len(dev["dev"]) == COUNTS[name][1]
    for split, rows in (("train", train), ("dev", dev["dev"])):
        lines = (folder / f"{split}.tsv").read_bytes().removesuffix(b"\n").split(b"\n")
        data = lines if task.header else lines[1:]
        assert len(rows) == len(data)
        read = rows[:]
        for i, line in enumerate(data):
            fields = line.split(b"\t")
            assert read["text"][i].encode() in fields
            assert not task.spec.pair or read["text_pair"][i].encode() in fields


def test_the_constant_classifier_scores_what_the_literature_says() -> None:
    folder = find_folder(DATA, GLUE["rte"]) if DATA.is_dir() else None
    if folder is None:
        pytest.skip(f"no RTE in {DATA}: set RPMASK_GLUE_DIR to a copy of GLUE")
    dev = GLUE["rte"].read_folder(folder).dev["dev"]
    assert majority(GLUE["rte"].spec, dev["label"][:]) == {"accuracy": pytest.approx(146 / 277)}
