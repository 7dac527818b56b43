"""The fenced commands of the README and the docs are carried out, page by page.

A block runs in one shell, in a folder in which a short road has been walked; `rpmask` there is the
program with options that keep a step short. A block that cannot run in a test says why in a comment
above it: `<!-- not run: REASON -->`; a test file that the reason names must exist. `<!-- prints: WORDS -->`
there says what the block must print.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from commands import clean_environment, fork_server
from forkserver import VARIABLE
from servers import free_port

import rpmask

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?:not run: (?P<why>[^\n]+?)|prints: (?P<prints>[^\n]+?)) -->\n)?^```bash\n(?P<text>.*?)^```$",
    re.M | re.S,
)
PORT = "5077"  # where the pages serve a model; a test takes a port that is free
GENERATED = "cli.md"  # its examples are the verbs' own, which other pages show too

# What is added to a verb, so that it ends within seconds; a later option wins over an earlier one.
SHORT = {
    "sample": [
        *("--k", "4", "--train-rows", "256", "--selection-rows", "100", "--calibration-rows", "8"),
    ],
    "screen": [
        *("--examples", "60", "--budget", "0.1", "--threads", "1", "--twins", "0"),
        *("--race-refit", "0"),
    ],
    "finetune": ["--epochs", "1", "--threads", "1", "--refit", "0"],
    "bench": ["--seconds", "0.2"],
    "jackpot": ["--epochs", "1", "--threads", "1", "--train-rows", "200"],
    "run": [
        *("--levels", "0.9", "--k", "4", "--train-rows", "256", "--selection-rows", "100"),
        *("--examples", "60", "--epochs", "1", "--threads", "1", "--calibration-rows", "8"),
        *("--twins", "0", "--race-refit", "0", "--refit", "0"),
    ],
}
STAND_IN = """#!{python}
import sys
sys.path.insert(0, {tests!r})
from forkserver import stand_in
words = sys.argv[1:]
short = {short!r}.get(words[0], [])
if any(word.startswith("models:/") for word in words):  # what it continues has its own rows
    pairs = zip(short[::2], short[1::2])
    short = [word for pair in pairs if not pair[0].endswith("-rows") for word in pair]
sys.exit(stand_in("rpmask", [*words, *short]))
"""


def blocks(page: Path) -> list[tuple[str, str | None, str]]:
    """A page's shell blocks: the text, why it is not run, if it is not, and what it must print."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(block["text"], block["why"], block["prints"] or "") for block in found]


SHOWN = [
    pytest.param(page, text, prints, id=f"{page.stem}-{number}")
    for page in PAGES
    if page.name != GENERATED
    for number, (text, why, prints) in enumerate(blocks(page))
    if why is None
]


@pytest.fixture(scope="module")
def place(
    road: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A folder with a road's store, the files the docs name, and the short program; a pool's run."""
    folder = tmp_path_factory.mktemp("docs") / "here"
    shutil.copytree(road[0], folder)
    pool = road[1]["levels"][-1]["sample"]["run_id"]
    (mask,) = road[0].rglob(f"{pool}/artifacts/masks/candidate-01.safetensors")
    shutil.copy(mask, folder / "mask.safetensors")
    demo = Path(rpmask.__file__).parent / "tasks" / "demo"
    shutil.copytree(demo / "model", folder / "my-model")
    for split in ("train", "dev"):
        _reviews(demo / f"{split}.jsonl", folder / f"reviews-{split}.csv")
    rows = (demo / "dev.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    program = folder / "bin" / "rpmask"
    program.parent.mkdir()
    program.write_text(
        STAND_IN.format(python=sys.executable, short=SHORT, tests=str(ROOT / "tests"))
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder, pool


def _reviews(rows: Path, table: Path) -> None:
    """The demo's rows as somebody's own table."""
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()[:400]]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        writer.writerows((f"{row['text']} {row['text_pair']}", row["label"]) for row in lines)


@pytest.mark.parametrize(("page", "text", "prints"), SHOWN)
def test_commands_run(page: Path, text: str, prints: str, place: tuple[Path, str]) -> None:
    folder, pool = place
    # A candidate of the pool where a page names one; the pool has four.
    script = re.sub(r"\bRUN_ID\b", pool, text).replace(PORT, str(free_port()))
    environment = {
        **clean_environment(),
        "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}"
        + os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        VARIABLE: fork_server(clean_environment()).address,
    }
    code, printed = run_shell(script, folder, environment)
    shown = f"{page.name}\n{script}\n{printed}"
    assert code == 0, shown
    assert prints in printed, shown


def run_shell(script: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """A block's exit code and output. What it leaves running, such as a server, is killed."""
    with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in what is left running
        command = ["bash", "-euo", "pipefail", "-c", script]
        shell = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        output.seek(0)
        return code, output.read()


def test_reasons_for_not_running_name_files_that_exist() -> None:
    reasons = [why for page in PAGES for _, why, _ in blocks(page) if why]
    assert reasons
    for why in reasons:
        for name in re.findall(r"tests/\S+\.py", why):
            assert (ROOT / name).is_file(), why


def test_a_wrong_command_would_be_noticed(place: tuple[Path, str]) -> None:
    with pytest.raises(AssertionError, match="no finished"):
        test_commands_run(ROOT / "README.md", "rpmask screen --task rte\n", "", place)
    with pytest.raises(AssertionError, match="done"):
        test_commands_run(ROOT / "README.md", "echo done\n", "not done", place)
