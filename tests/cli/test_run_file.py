"""Run files: what is written is read again, what is wrong is named with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpmask.cli import entry
from rpmask.cli.init import FOR
from rpmask.cli.options import VERBS
from rpmask.cli.run_file import LEFT_OUT, Loader, flag_name, read_run_file, write_run_file
from rpmask.cli.typer_option import Option, plain_type
from rpmask.errors import RpmaskError

LINES = re.compile(r"^#(?=[a-z][a-z-]*:)", re.MULTILINE)
# YAML has no surrogates and few control characters; a carriage return is a line's end.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"))).filter(lambda text: text != "auto")
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
}


def values_of(option: Option) -> st.SearchStrategy[Any]:
    """Every value of an option's type, whatever its limits."""
    if isinstance(option.field.default, tuple):
        return st.lists(TEXT, max_size=3).map(tuple)
    kind = plain_type(option.kind)
    return st.dictionaries(TEXT, JSON_VALUES, max_size=3) if kind == list[str] else PLAIN[kind]


@pytest.mark.parametrize("verb", FOR)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_options_are_read_as_they_were_written(verb: str, tmp_path: Path, data: Any) -> None:
    about = VERBS[verb]
    options = {name: option for name, option in about.options.items() if name not in LEFT_OUT}
    names = data.draw(st.sets(st.sampled_from(sorted(options))))
    chosen = {name: data.draw(values_of(options[name]), name) for name in sorted(names)}
    path = tmp_path / "run.yaml"
    path.write_text(write_run_file(about, chosen), encoding="utf-8")
    assert read_run_file(path, about) == chosen


@pytest.mark.parametrize("verb", FOR)
def test_every_option_and_its_default_is_in_the_file_that_init_writes(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        entry.main(["init", "--for", verb, "--task", "digits"])
    assert ended.value.code == 0
    path, about = tmp_path / f"{verb}.yaml", VERBS[verb]
    assert read_run_file(path, about) == {"task": "digits"}
    path.write_text(LINES.sub("", path.read_text()))
    names = {flag_name(o) for name, o in about.options.items() if name not in LEFT_OUT}
    assert set(yaml.load(path.read_text(), Loader)) == names
    read = read_run_file(path, about)  # a default has the type of its option
    for name, value in read.items():
        assert "default" in about.help[name] or not value or name == "task", name
    with pytest.raises(SystemExit) as ended:
        entry.main(["init", "--for", verb])
    assert ended.value.code == 2  # there is a file already


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("task: demo\nlerning-rate: 1", r"line 2: .* no option 'lerning-rate'", "learning_rate"),
        ("task: demo\nzzz: 1", "line 2: .* no option 'zzz'", "rpmask run --help"),
        ("\nepochs: six", "line 2: epochs should be a number, not 'six'", "Epochs"),
        ("one-shot: yes", "line 1: one-shot should be true or false, not 'yes'", ""),
        ("k: 2.5", "line 1: k should be a whole number, not 2.5", ""),
        ("include: {a: 1}", "line 1: include should be a list of texts", ""),
        ("set: [1]", "line 1: set should be names with values", ""),
        ("k: 2\nk: 3", "line 2: 'k' is given twice", ""),
        ("train-embeddings: true\nfreeze-embeddings: true", "line 2: .*given twice", ""),
        ("config: other.yaml", "line 1: a run file names no other", ""),
        ("task: [", "line 1: ", "one option a line"),
        ("- task", "line 1: there is no option's name", "one option a line"),
        ("task: \x00", "not YAML", "rpmask init"),
        (None, "cannot be read: No such file", "rpmask init --for run"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    text: str | None, says: str, hint: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RpmaskError, match=says) as found:
        read_run_file(path, VERBS["run"])
    assert hint in found.value.hint


def test_words_and_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "jackpot.yaml"
    path.write_text(
        "restriction: off\nlearning-rate: 1e-3\nseed: 010\nthreads:\nmodel: auto\nfrom: no\n"
    )
    found = read_run_file(path, VERBS["jackpot"])
    assert found == {"restriction": "off", "learning_rate": 1e-3, "seed": 10, "from_": "no"}
    path.write_text("")
    assert read_run_file(path, VERBS["jackpot"]) == {}


def test_a_run_keeps_the_file_that_repeats_it(
    road: tuple[Path, dict[str, Any]],
    client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The artifact finds the same run again; an option on the command line wins over it."""
    monkeypatch.chdir(road[0])
    ran = road[1]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def ask(*arguments: str) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit):
            entry.main([*arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    kept = client.download_artifacts(ran["run_id"], "run.yaml", str(tmp_path))
    again = ask("run", "--config", kept)
    assert (again["run_id"], again["reused"]) == (ran["run_id"], True)
    assert "--k is 0" in ask("run", "--config", kept, "--k", "0")["error"]
    inner = client.list_artifacts(ran["levels"][0]["sample"]["run_id"])
    assert not [file.path for file in inner if file.path.endswith(".yaml")]
    chosen = ask("select", "--alpha", "0.2")
    file = client.download_artifacts(chosen["run_id"], "select.yaml", str(tmp_path))
    named = yaml.load(Path(file).read_text(), Loader)
    assert named == {"alpha": 0.2, "from": chosen["screen_run_id"]}


PAGE = Path(__file__).parent.parent.parent / "docs" / "run-files.md"


def test_the_file_on_the_page_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert read_run_file(path, VERBS["run"])["learning_rate"] == 4e-4
