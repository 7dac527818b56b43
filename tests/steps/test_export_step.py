"""`export`, `bench` and `predict` on the champion of a run: what users and MLflow see."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from commands import Running, answer, rpmask
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from rpmask.deploy import onnx
from rpmask.deploy.bench import BenchRow
from rpmask.deploy.load import load
from rpmask.deploy.manifest import FORMS, open_export
from rpmask.deploy.runtimes import Runtimes
from rpmask.errors import RpmaskError
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice
from rpmask.steps import fastest_form
from rpmask.steps.bench import _original, run_bench
from rpmask.steps.context import Context
from rpmask.steps.deploy_requests import BenchRequest, ExportRequest
from rpmask.steps.export import default_folder, export
from rpmask.steps.input_rows import read_rows
from rpmask.steps.jackpot import jackpot
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.predict import predict
from rpmask.train.model_place import locate

Road = tuple[Path, dict[str, Any]]
PAIRS = [
    {"text": "the chef stirred the soup today", "text_pair": "somebody is cooking"},
    {"text": "the chef stirred the soup today", "text_pair": "somebody is sailing"},
]


@pytest.fixture
def context(road: Road, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Context:
    folder, _ = road
    monkeypatch.setattr("rpmask.steps.fastest_form.SECONDS", 0.1)
    return Context(tracking_uri=f"sqlite:///{folder}/mlflow.db", folder=folder / ".rpmask")


@pytest.fixture(scope="module")
def packed(road: Road) -> dict[str, Any]:
    """By the command line, with its defaults."""
    return answer(["export", "--out", "deploy/packed"], road[0])


@pytest.fixture
def _without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out of a bench the runtime that takes seconds to write."""

    def absent(*_: object) -> None:
        raise RuntimeError("left out of this test")

    monkeypatch.setattr(onnx, "write", absent)


def test_export_by_the_command_line(
    road: Road, packed: dict[str, Any], client: MlflowClient
) -> None:
    folder = road[0] / packed["path"]
    manifest = open_export(folder)
    assert packed["format"] == "packed"
    assert packed["model"] == "models:/rpmask-demo/" + str(road[1]["champion"]["version"])
    assert packed["digest"] == manifest.digest
    files = [path for path in folder.rglob("*") if path.name != "rpmask.json"]
    assert packed["bytes"] == sum(path.stat().st_size for path in files)
    assert packed["masked_bytes"] < 0.1 * packed["masked_dense_bytes"]
    assert packed["max_abs_diff"] <= packed["tolerance"]
    assert {row["runtime"] for row in packed["rows"]} == {"dense fp32", "packed"}
    run = client.get_run(packed["run_id"])
    assert run.data.metrics["bytes"] == packed["bytes"]
    assert run.data.metrics["ms/packed/1x32"] > 0
    assert run.data.tags["rpmask.digest"] == manifest.digest
    logged = {entry.path for entry in client.list_artifacts(packed["run_id"])}
    assert {"export.json", "bench.json", "charts"} <= logged


def test_the_same_export_is_not_made_again(
    packed: dict[str, Any], context: Context, tmp_path: Path
) -> None:
    request = ExportRequest(source=packed["model"])
    again = export(request, tmp_path / "elsewhere", context)
    assert again["reused"]
    assert again["run_id"] == packed["run_id"]
    # It was not there: MLflow had kept it.
    assert open_export(tmp_path / "elsewhere").digest == packed["digest"]


def test_an_export_of_images_is_copied_from_the_run(tmp_path: Path) -> None:
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    plan, few = SearchPlan(epochs=1, batch_size=64), DataChoice(train_rows=64)
    jackpot(JackpotRequest("digits", "digits", plan=plan, data=few), context)
    request = ExportRequest("models:/rpmask-digits@jackpot", rows=8)
    made = export(request, tmp_path / "one", context)
    again = export(request, tmp_path / "other", context)
    assert again["reused"]
    assert again["path"] == str(tmp_path / "other")
    assert open_export(tmp_path / "other").digest == made["digest"]
    names = [
        {str(path.relative_to(tmp_path / out)) for path in (tmp_path / out).rglob("*")}
        for out in ("one", "other")
    ]
    assert names[0] == names[1]


def test_every_form_is_served(
    road: Road, packed: dict[str, Any], context: Context, tmp_path: Path
) -> None:
    expected = load(road[0] / packed["path"]).predict([(r["text"], r["text_pair"]) for r in PAIRS])
    # At 93.75 % single weights alone leave some neurons of so small a model without an outgoing one.
    for form in FORMS:
        made = export(ExportRequest(form=form, rows=16), tmp_path / form, context)
        served = mlflow.pyfunc.load_model(made["model_uri"]).predict(pd.DataFrame(PAIRS))
        assert list(served["label"]) == [row["label"] for row in expected], form
        assert list(served["score"]) == pytest.approx([row["score"] for row in expected], abs=1e-4)


@pytest.mark.parametrize(
    ("speedups", "form"),
    [({"csr": 2.0, "ONNX Runtime": 1.5}, "csr"), ({"csr": 0.9, "ONNX Runtime": 0.8}, "packed")],
)
def test_the_fastest_form_is_taken(
    road: Road,
    context: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speedups: dict[str, float],
    form: str,
) -> None:
    def timed(runtimes: Runtimes, grid: Any, **_: object) -> tuple[BenchRow, ...]:
        runtimes.answers = dict.fromkeys(
            speedups | {"dense fp32": 1.0}, runtimes.answers["dense fp32"]
        )
        return tuple(
            BenchRow(name, *shape, 1.0, 1.0, speedups.get(name, 1.0), 0.0, 0.0, 3)
            for name in runtimes.answers
            for shape in grid
        )

    monkeypatch.setattr(fastest_form, "bench", timed)
    request = ExportRequest(form="auto", rows=8)
    found = export(request, tmp_path / "out", replace(context, force=True))
    assert found["format"] == form
    assert "chosen for its speed" in found["note"]
    assert "ONNX Runtime" in found["note"]


def test_mlflow_answers_from_its_own_command(road: Road, packed: dict[str, Any]) -> None:
    (road[0] / "rows.json").write_text(json.dumps({"dataframe_records": PAIRS}))
    command = ["models", "predict", "-m", packed["model_uri"], "--env-manager", "local"]
    store = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    rows = ["-i", "rows.json", "-t", "json"]
    done = Running([*command, *rows], road[0], store, module="mlflow").finish(300)
    assert done.returncode == 0, done.stderr
    predictions = json.loads(done.stdout.strip().splitlines()[-1])["predictions"]
    assert [set(row) for row in predictions] == [{"label", "score"}] * 2


def test_predict_answers_each_line(road: Road, packed: dict[str, Any]) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in PAIRS)
    (road[0] / "rows.jsonl").write_text(rows)
    done = rpmask(["predict", packed["path"], "--input", "rows.jsonl"], road[0])
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert all(0 <= row["score"] <= 1 for row in answers)
    assert answers[0] != answers[1]


def test_predict_of_the_registry_and_of_the_export_agree(
    road: Road, packed: dict[str, Any], context: Context
) -> None:
    lines = ["the chef stirred the soup today\tsomebody is cooking\n", "\n", "a\tb\n"]
    found = list(predict(packed["model"], lines, "stdin", context))
    again = list(predict(str(road[0] / packed["path"]), lines, "stdin", context))
    assert [row["label"] for row in found] == [row["label"] for row in again]
    assert len(found) == 2
    for source in (packed["model"], str(road[0] / packed["path"])):
        with pytest.raises(RpmaskError, match="reads pairs of texts"):
            list(predict(source, ["somebody is cooking\n"], "stdin", context))


@pytest.mark.usefixtures("_without_onnx")
def test_the_address_that_export_prints_is_answered_from(
    road: Road, packed: dict[str, Any], context: Context
) -> None:
    from rpmask.tracking.registry import fetch

    address = packed["model_uri"]
    assert address.startswith("models:/m-")
    lines = [f"{row['text']}\t{row['text_pair']}\n" for row in PAIRS]
    here = list(predict(str(road[0] / packed["path"]), lines, "stdin", context))
    assert list(predict(address, lines, "stdin", context)) == here
    loaded = load(fetch(context.tracker, address))
    assert loaded.manifest.digest == packed["digest"]
    timed = run_bench(BenchRequest(source=address, grid="1x8", seconds=0.1), context)
    assert timed["model"] == address
    assert "dense fp32" in {row["runtime"] for row in timed["rows"]}
    done = rpmask(["predict", address, "--input", "-"], road[0])
    assert "no rows" in done.stderr  # it was found


def test_a_registered_model_reads_as_far_as_it_was_trained_to(tmp_path: Path) -> None:
    tuned = answer(
        [
            *("finetune", "--dense", "--task", "demo", "--model", "demo", "--max-length", "16"),
            *("--train-rows", "32", "--selection-rows", "16", "--epochs", "1", "--threads", "1"),
        ],
        tmp_path,
    )
    address = f"models:/{tuned['model']['name']}/{tuned['model']['version']}"
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    same = "the chef stirred the soup " * 4
    lines = [f"{same} today\tsomebody\n", f"{same} and sailing\tsomebody\n"]
    first, second = predict(address, lines, "stdin", context)
    assert first == second  # they differ behind the sixteenth token
    made = export(ExportRequest(address, form="dense", rows=8), tmp_path / "out", context)
    assert open_export(Path(made["path"])).max_length == 16


def test_an_alias_that_moves_while_export_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder and what is in it are of one version."""
    from rpmask.cli.export import Place
    from rpmask.cli.export import export as export_verb
    from rpmask.cli.sources import Champion
    from rpmask.cli.tracking import Tracking
    from rpmask.steps import export as step

    uri, written = f"sqlite:///{tmp_path}/mlflow.db", []
    monkeypatch.chdir(tmp_path)
    tracking = Tracking(tracking_uri=uri, quiet=True)
    client = tracking.context().tracker.client
    client.create_registered_model("rpmask-demo")
    for number in (1, 2):
        client.create_model_version("rpmask-demo", f"{number}", run_id="0" * 32)
    client.set_registered_model_alias("rpmask-demo", "champion", "1")
    name_of = step.default_folder

    def folder(*arguments: Any) -> Path:
        found = name_of(*arguments)
        client.set_registered_model_alias("rpmask-demo", "champion", "2")
        return found

    def write(request: ExportRequest, out: Path, _: Context) -> dict[str, Any]:
        written.append((request.source, out))
        return {}

    monkeypatch.setattr(step, "default_folder", folder)
    monkeypatch.setattr(step, "export", write)
    monkeypatch.setattr(Tracking, "show", lambda *_: None)
    verb: Any = export_verb
    verb.__wrapped__(ExportRequest(), Champion(), Place(), tracking)
    assert written == [("models:/rpmask-demo/1", Path("export/demo-1-packed"))]


def rows_of(lines: list[str], name: str) -> list[Any]:
    """The rows without their labels."""
    return [row for row, _ in read_rows(lines, name)]


def test_rows_of_every_kind() -> None:
    pair = [("a", "b"), ("c", "d")]
    assert rows_of(["a\tb\n", "c\td"], "stdin") == pair
    assert rows_of(["text,text_pair\n", "a,b\n", "c,d\n"], "x.csv") == pair
    assert rows_of(["text\ttext_pair\n", "a\tb\n", "c\td\n"], "x.tsv") == pair
    assert rows_of(['{"text": "a"}\n'], "stdin") == ["a"]
    assert rows_of(["plain words\n"], "x.txt") == ["plain words"]
    # Stdin has no ending: the header says what it is.
    assert rows_of(["\ufefftext,text_pair\n", "a,b\n", "\n", "c,d\n"], "stdin") == pair
    assert rows_of(["label\ttext\ttext_pair\n", "1\ta\tb\n", "0\tc\td\n"], "stdin") == pair
    assert rows_of(["a text, and more\n"], "stdin") == ["a text, and more"]
    assert rows_of(["label, text\n", "1, a\n"], "stdin") == [" a"]
    # A line with commas is a text, unless it is a header by all that can be told.
    for plain in (
        ["a, text, and more\n", "b, c, d\n"],
        ["Hello, world\n", "Good, bye\n"],
        ["yes,no\n"],  # alone: there is nothing to head
        ["one,two\n", "a line without any\n"],
        ["well,well,well\n", "what,have,we\n"],
        ["costs 1,000\n", "or 2,000\n"],
    ):
        assert rows_of(plain, "stdin") == [line.strip() for line in plain]
    assert rows_of(["good\tbad\n", "yes\tno\n"], "stdin") == [
        ("good", "bad"),
        ("yes", "no"),
    ]
    header = ["label,sentence\n", "1,a text\n"]
    assert rows_of(header, "rows.txt") == ["label,sentence", "1,a text"]
    quoted = ["text\n", '"one\n', "\n", 'two"\n']
    assert rows_of(quoted, "x.csv") == ["one\n\ntwo"]


@pytest.mark.parametrize(
    ("lines", "name", "message"),
    [
        ([], "stdin", "no rows"),
        (["a\tb\tc\n"], "stdin", "line 1: 3 fields"),
        (['{"text": "a"}\n', "{\n"], "stdin", "line 2 is not JSON"),
        (['{"text": 3}\n'], "stdin", "line 1 has no 'text'"),
        (['{"tokens": "a b"}\n'], "stdin", "line 1: 'tokens' is not a list of words"),
        (['{"tokens": ["a", 1]}\n'], "stdin", "line 1: 'tokens' is not a list of words"),
        (["words,label\n", "a,b\n"], "x.csv", "row 1 has no 'text'"),
        (["label,sentence\n", "1,a text\n"], "stdin", "'label' and 'sentence' and no 'text'"),
        (['"words","label"\n', '"a, b",1\n'], "stdin", "'words' and 'label' and no 'text'"),
        (["idx\tsentence\n", "0\ta text\n"], "stdin", "'idx' and 'sentence' and no 'text'"),
        (["a\tsentence\tlabel\n", "0\tb\t1\n"], "stdin", "'a' and 'sentence' and 'label' and no"),
        (["label,sentence\n", "1,a text\n"], "rows.data", "no 'text'"),
        (["text\n"], "stdin", "a header and no rows"),
        (["text\n", "x" * 200_000], "x.csv", "cannot be read after row 0"),
    ],
)
def test_rows_that_cannot_be_read(lines: list[str], name: str, message: str) -> None:
    with pytest.raises(RpmaskError, match=message):
        rows_of(lines, name)


def test_bench_of_the_champion_and_of_an_export(
    road: Road, packed: dict[str, Any], context: Context, client: MlflowClient
) -> None:
    request = BenchRequest(grid="1x8,2x16", seconds=0.1)
    found = run_bench(request, context)
    assert {"dense fp32", "dense bf16", "dynamic int8", "ONNX Runtime"} <= {
        row["runtime"] for row in found["rows"]
    }
    assert found["absent"]["2:4 GPU"] == "there is no CUDA device"
    assert set(found["rows"][0]) >= {
        *("runtime", "batch", "tokens", "ms_median", "ms_p95", "speedup", "max_abs_diff"),
    }
    logged = {entry.path for entry in client.list_artifacts(found["run_id"], "charts")}
    assert logged == {"charts/bench.png", "charts/bench.html"}
    of_export = run_bench(
        BenchRequest(source=str(road[0] / packed["path"]), grid="1x8", seconds=0.1), context
    )
    assert of_export["rows"][0]["runtime"] == "dense fp32"
    with pytest.raises(RpmaskError, match="more than this model takes"):
        run_bench(BenchRequest(grid="1x4096"), context)


def test_what_cannot_be_exported(context: Context, packed: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(RpmaskError, match="is not an export"):
        export(ExportRequest(), tmp_path / "mine", context)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
    with pytest.raises(RpmaskError, match="--to has no value"):
        export(ExportRequest(form="zip"), tmp_path / "zip", context)
    with pytest.raises(RpmaskError, match="is for packed models"):
        export(ExportRequest(form="dense", values="int8"), tmp_path / "dense", context)
    with pytest.raises(RpmaskError, match="There is no model"):
        export(ExportRequest(source="models:/none@champion"), tmp_path / "none", context)


@pytest.mark.usefixtures("_without_onnx")
def test_timings_are_of_the_weights_that_are_there(context: Context, tmp_path: Path) -> None:
    """A folder may hold another model of the same shape the next time."""
    shutil.copytree(locate("demo").weights, tmp_path / "mine")
    request = BenchRequest(source=str(tmp_path / "mine"), grid="1x8", seconds=0.1)
    first = run_bench(request, context)
    assert run_bench(request, context)["reused"]
    file = tmp_path / "mine" / "model.safetensors"
    weights = load_file(file)
    save_file({name: value * 0.5 for name, value in weights.items()}, file, {"format": "pt"})
    assert run_bench(request, context)["run_id"] != first["run_id"]


def test_a_version_of_the_same_name_may_be_another_model(
    road: Road, packed: dict[str, Any], context: Context
) -> None:
    found = load(road[0] / packed["path"])
    assert _original(found, context) is not None
    other = "models:/rpmask-demo/1"  # it would be called so in another registry
    assert packed["model"] != other
    for source in (other, "models:/rpmask-none/1"):
        found.manifest = replace(found.manifest, source=source)
        assert _original(found, context) is None


def test_every_version_form_and_type_of_values_has_a_folder_of_its_own(
    road: Road, context: Context
) -> None:
    champion = road[1]["champion"]["version"]
    assert default_folder(ExportRequest(), context) == Path(f"export/demo-{champion}-packed")
    asked = ExportRequest("models:/rpmask-demo/1", values="int8")
    assert default_folder(asked, context) == Path("export/demo-1-packed-int8")


def test_an_export_replaces_an_older_one(
    road: Road, packed: dict[str, Any], context: Context, tmp_path: Path
) -> None:
    shutil.copytree(road[0] / packed["path"], tmp_path / "out")
    made = export(ExportRequest(values="bf16", rows=16), tmp_path / "out", context)
    assert open_export(tmp_path / "out").digest == made["digest"] != packed["digest"]
    assert made["bytes"] < packed["bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
