"""MLflow's system metrics for the run of a step: load of processors, memory, disk, network and GPUs.

MLflow samples every 10 seconds, or every MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rpmask.errors import RpmaskError, install_hint
from rpmask.tracking.runs import StepRun

SYSTEM = "system/"  # how the names of these metrics begin


def check_installed() -> None:
    """Refuse to measure without the package that MLflow measures with."""
    if find_spec("psutil") is None:
        raise RpmaskError(
            "--system-metrics needs the package psutil, which is not installed.",
            f"Install it: {install_hint('monitor')}.",
        )


@contextmanager
def system_metrics(run: StepRun) -> Iterator[None]:
    """Log them to the run inside the block."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    uri = run.tracker.uri
    monitor = SystemMetricsMonitor(run.run_id, resume_logging=run.resumed, tracking_uri=uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
