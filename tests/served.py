"""What MLflow's scoring answers for a table, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands import clean_environment


def scored(folder: Path, table: dict[str, Any], *uris: str) -> list[Any]:
    """The answers of logged or registered models in the folder's store."""
    code = (
        "import json, sys, mlflow, pandas\n"
        f"for uri in {uris!r}:\n"
        f"    found = mlflow.pyfunc.load_model(uri).predict(pandas.DataFrame({table!r}))\n"
        "    print(found.to_json(orient='records'))"
    )
    environment = {**clean_environment(), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(uris) :]]
