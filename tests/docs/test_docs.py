"""The documentation says what the program does: its commands, options, links, messages, examples."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from messages import message_patterns
from typer.main import get_command

from rpmask.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# Options of other programs that the pages name.
FOREIGN = {
    *("--env-manager", "--experiment-name", "--head", "--num-cpus", "--allowed-hosts", "--app-name")
}
SCREEN = 50  # lines
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_cli_docs", ROOT / "scripts" / "make_cli_docs.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()
VERBS: dict[str, Any] = dict(SCRIPT.commands(get_command(app)))


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _inline(text: str) -> list[str]:
    without_blocks = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_blocks)]


def _command_lines(text: str, program: str) -> Iterator[list[str]]:
    """The arguments of every use of a program, in shell blocks and between backticks."""
    shell = "".join(_blocks(text, "bash")).replace("\\\n", " ").splitlines()
    for line in (*shell, *_inline(text)):
        if line.startswith(f"{program} "):
            # A comment begins after a space, as in a shell: RUN_ID#0 has none. Output may go to a file.
            yield shlex.split(re.sub(r"\s[#>].*", "", line))[1:]


def _parse(words: list[str]) -> None:
    """Run the parser of a verb and nothing else; whatever does not parse raises."""
    verb = next(
        v for v in sorted(VERBS, key=len, reverse=True) if words[: len(v.split())] == v.split()
    )
    rest = [word for word in words[len(verb.split()) :] if word != "--help"]
    VERBS[verb].make_context(verb, rest)


def _options(command: Any) -> set[str]:
    return {option for p in command.params for option in (*p.opts, *p.secondary_opts)}


def test_cli_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == SCRIPT.render(), "run `make docs`"


def test_every_option_is_on_the_page_of_its_verb() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    named = {
        part.partition("\n")[0]: set(re.findall(r"(?<=[`\s])--[a-z-]+", part))
        for part in re.split(r"^## (?:rpmask )?", page, flags=re.MULTILINE)
    }
    for verb, command in VERBS.items():
        first = {
            next(o for o in p.opts if o.startswith("--"))
            for p in command.params
            if p.opts[0][0] == "-"
        }
        assert first <= named[verb], verb
    shared = re.findall(
        r"^\| `(?:-\w, )?(--[a-z-]+)", page.partition("## Shared options")[2], re.MULTILINE
    )
    assert len(shared) == len(set(shared))


@pytest.mark.parametrize("verb", VERBS)
def test_verb_and_options_have_help(verb: str) -> None:
    command = VERBS[verb]
    assert SCRIPT.EXAMPLE.search(command.help or ""), f"{verb} has no example"
    assert re.sub(SCRIPT.EXAMPLE, "", command.help).strip().endswith(".")
    for parameter in command.params:
        assert len(parameter.help or "") >= 5, f"{verb} {parameter.opts} has no help"


@pages
def test_command_lines_parse(page: Path) -> None:
    for words in _command_lines(page.read_text(encoding="utf-8"), "rpmask"):
        if words[0] not in ("VERB", "--help", "--version"):
            _parse(words)


def test_command_lines_are_found() -> None:
    text = "```bash\nrpmask mask show RUN_ID#8   # eight\nrpmask run \\\n  --task rte\n```\nand `rpmask ui`"
    assert list(_command_lines(text, "rpmask")) == [
        ["mask", "show", "RUN_ID#8"],
        ["run", "--task", "rte"],
        ["ui"],
    ]


@pytest.mark.parametrize(
    "words", [["sample", "--no-such"], ["sample", "--k", "eight"], ["ui", "x"]]
)
def test_a_wrong_command_line_does_not_parse(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such option|valid int|extra argument"):
        _parse(words)


@pages
def test_options_named_in_the_text_exist(page: Path) -> None:
    known = {"--help", "--version"}.union(*map(_options, VERBS.values()))
    for code in _inline(page.read_text(encoding="utf-8")):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code))
        verb = code.split()[0]
        mine = _options(VERBS[verb]) if verb in VERBS else known
        assert named <= mine | FOREIGN, f"`{code}`"


@pages
def test_project_runs_fit_the_project(page: Path) -> None:
    entries = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    verbs = {"main": "run"}
    for words in _command_lines(page.read_text(encoding="utf-8"), "mlflow"):
        if words[:2] != ["run", "."]:
            continue
        entry = words[words.index("-e") + 1] if "-e" in words else "main"
        declared = set(entries[entry]["parameters"])
        options = _options(VERBS[verbs.get(entry, entry)])
        for flag, value in pairwise(words):
            name = value.partition("=")[0]
            assert flag != "-P" or name in declared or f"--{name}" in options, name


@pages
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in _command_lines(page.read_text(encoding="utf-8"), "make"):
        assert words[0] in targets


@pages
def test_files_named_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w./-])((?:rpmask|tests|scripts|docs)/[\w/-]*(?:\.\w+|/))", text):
        assert (ROOT / name).exists(), name


@pages
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.is_file(), target
        assert not anchor or anchor in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s+", "-", word) for word in words}


def test_messages_in_troubleshooting_are_the_programs() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    shown = re.findall(r"^error: (.+)$", text, re.MULTILINE)
    patterns = message_patterns(ROOT / "rpmask")
    assert len(shown) > 20
    assert [m for m in shown if not any(p.fullmatch(m) for p in patterns)] == []
    assert not any(p.fullmatch("The model is too good for rte.") for p in patterns)


def test_the_readme_begins_with_two_screens_of_text() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    table = next(number for number, line in enumerate(lines) if line.startswith("|"))
    assert table <= 2 * SCREEN
