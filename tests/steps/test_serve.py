"""The champion answers over HTTP, served by MLflow as its users serve models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from commands import clean_environment
from servers import free_port

WAIT_SECONDS = 120


def ask(port: int, rows: list[dict[str, str]]) -> Any:
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)["predictions"]


def test_champion_answers_a_text_pair(road: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = road
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        "models:/rpmask-demo@champion",
    ]
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, *options],
        cwd=folder,
        env={
            **clean_environment(),
            "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
            # As in an activated environment: MLflow looks for uvicorn on the path.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        rows = [
            {"text": "the chef stirred the soup today", "text_pair": "somebody is cooking"},
            {"text": "the chef stirred the soup today", "text_pair": "somebody is sailing"},
        ]
        predictions = None
        deadline = time.monotonic() + WAIT_SECONDS
        while predictions is None and time.monotonic() < deadline:
            assert server.poll() is None, "the server stopped"
            try:
                predictions = ask(port, rows)
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert predictions is not None, "the server did not answer"
    assert len(predictions) == 2
    for prediction in predictions:
        assert prediction["label"] in ("entailment", "not_entailment")
        assert 0.0 <= prediction["score"] <= 1.0
    # The pair is read as a pair: the second sentence changes the answer.
    assert predictions[0] != predictions[1]
