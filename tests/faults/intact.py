"""What must be in a folder after a road, however often it was interrupted: all of it, once, and whole."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import safe_open

# Runs are named by what they are, so that two roads can be compared; children by their parent's name.
RUNS = """
select r.run_uuid, r.name || coalesce(' of ' || p.name, ''), r.status, s.value
from runs r
left join tags t on t.run_uuid = r.run_uuid and t.key = 'mlflow.parentRunId'
left join runs p on p.run_uuid = t.value
left join tags s on s.run_uuid = r.run_uuid and s.key = 'rpmask.step'
"""
TWICE = """
select run_uuid, key, step from metrics where key not like 'system/%'
group by 1, 2, 3 having count(*) > 1
"""
TIMES = "seconds"  # in the names of metrics that differ from one time to the next
VERSIONS = "select run_id, source from model_versions where name = 'rpmask-demo' order by version"
LOGGED = (
    "select model_id, status, artifact_location from logged_models where lifecycle_stage = 'active'"
)


def contents(folder: Path) -> dict[str, Any]:
    """What the database and the artifact store hold, by names that do not depend on ids."""
    with sqlite3.connect(folder / "mlflow.db") as base:
        runs = {row[0]: row[1:] for row in base.execute(RUNS)}
        points = Counter(
            (runs[run][0], key, step, "nan" if nan else TIMES if TIMES in key else value)
            for run, key, step, value, nan in base.execute(
                "select run_uuid, key, step, value, is_nan from metrics"
            )
        )
        params = {
            (runs[run][0], key) for run, key in base.execute("select run_uuid, key from params")
        }
        versions = list(base.execute(VERSIONS))
        logged = list(base.execute(LOGGED))
        aliases = dict(base.execute("select alias, version from registered_model_aliases"))
        places = dict(base.execute("select run_uuid, artifact_uri from runs"))
    return {
        "runs": Counter((name, status, step) for name, status, step in runs.values()),
        "points": points,
        "params": params,
        "versions": [(runs[run][0], runs[run][1]) for run, _ in versions],
        "aliases": aliases,
        "logged": Counter(status for _, status, _ in logged),
        "artifacts": {
            (name, str(path.relative_to(root)))
            for run, (name, _, _) in runs.items()
            for root in [Path(places[run])]
            for path in root.rglob("*")
            if path.is_file()
        },
    }


def check_same(folder: Path, undisturbed: Path) -> None:
    """Both hold the same runs, points, parameters, versions, aliases, models and artifacts."""
    found, expected = contents(folder), contents(undisturbed)
    for kind, things in expected.items():
        mine, others = found[kind], things
        if isinstance(things, Counter):
            assert not mine - others, (kind, "too much")
            assert not others - mine, (kind, "missing")
        elif isinstance(things, set):
            assert not mine ^ others, kind
        assert mine == others, kind


def check_whole(folder: Path) -> None:
    """Every run has ended, every point is there once, every file can be read, nothing is left over."""
    found = contents(folder)
    assert {status for _, status, _ in found["runs"]} == {"FINISHED"}
    with sqlite3.connect(folder / "mlflow.db") as base:
        assert list(base.execute(TWICE)) == []
        owners = [run for run, _ in base.execute(VERSIONS)]
    assert len(owners) == len(set(owners))
    for path in (folder / "mlruns").rglob("*"):
        assert not path.name.startswith((".", "tmp")), path
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with safe_open(str(path), framework="numpy") as opened:
                assert all(opened.get_tensor(name) is not None for name in opened.keys())  # noqa: SIM118
    assert list((folder / ".rpmask" / "work").iterdir()) == []
