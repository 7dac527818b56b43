"""GLUE from the local cache of the `datasets` library, or from the hub.

A hub that cannot be reached is found out by one connection attempt with a deadline: left to itself
the client retries for half a minute. The attempt runs in a thread of its own because a name server
that does not answer cannot be given a deadline in any other way.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from rpmask.errors import RpmaskError, RunFailed
from rpmask.tasks.tables import Table

if TYPE_CHECKING:
    import datasets

REPOSITORY = "nyu-mll/glue"
DEADLINE = 1.2  # seconds; with start-up the whole answer stays under two


def read_cached(config: str, splits: Iterable[str]) -> tuple[dict[str, Table], str] | None:
    """The splits as the newest earlier download left them, and their source."""
    found = cached_files(REPOSITORY, config, splits)
    if found is None:
        return None
    files, source = found
    return {
        split: _table(str(paths[0]), load_arrow(paths)) for split, paths in files.items()
    }, source


def cached_files(
    repository: str, config: str, splits: Iterable[str]
) -> tuple[dict[str, list[Path]], str] | None:
    """The Arrow files of the newest earlier download that has every split, and their source."""
    root = Path(_cache_root(), repository.replace("/", "___"), config)
    infos = sorted(root.glob("*/*/dataset_info.json"), key=lambda info: info.stat().st_mtime)
    for info in reversed(infos):
        files = {split: _arrow_files(info.parent, split) for split in splits}
        if all(files.values()):
            return files, f"cache:{repository}/{config}@{info.parent.name}"
    return None


def _cache_root() -> Path:
    """Where `datasets` keeps what it downloaded, without the second its import takes."""
    from huggingface_hub import constants

    configured = os.environ.get("HF_DATASETS_CACHE")
    return Path(configured) if configured else Path(constants.HF_HOME, "datasets")


def _arrow_files(folder: Path, split: str) -> list[Path]:
    whole = sorted(folder.glob(f"*-{split}.arrow"))
    return whole[:1] or sorted(folder.glob(f"*-{split}-?????-of-?????.arrow"))


def load_arrow(paths: list[Path]) -> datasets.Dataset:
    """A cached split, or a clear error where its files are damaged."""
    import datasets
    import pyarrow

    try:
        parts = [datasets.Dataset.from_file(str(path)) for path in paths]
        return datasets.concatenate_datasets(parts)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RpmaskError(
            f"The cached file {paths[0]} cannot be read: {' '.join(str(error).split())[:200]}.",
            f"Delete the folder {paths[0].parent}; it is downloaded again.",
        ) from error


def _table(source: str, split: datasets.Dataset) -> Table:
    columns = split.to_dict()
    return Table(source, columns, range(1, split.num_rows + 1), "row")


def download(config: str, splits: Iterable[str]) -> tuple[dict[str, Table], str]:
    """The splits from the hub, and their source, or within two seconds the ways round it."""
    from huggingface_hub import constants

    problem = unreachable(constants.ENDPOINT, offline=offline())
    if problem:
        raise RpmaskError(
            f"Task '{config}' is not on this machine and the hub cannot be reached: {problem}.",
            _ways_out(config),
        )
    import datasets

    try:
        loaded = datasets.load_dataset(REPOSITORY, config)
        tables = {
            split: _table(f"{REPOSITORY}/{config} {split}", loaded[split]) for split in splits
        }
    except Exception as error:
        # Each of the client's layers has exceptions of its own: HTTP, TLS, Arrow, the hub.
        raise RunFailed(
            f"Loading '{config}' from {constants.ENDPOINT} failed: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            _ways_out(config),
        ) from error
    return tables, f"hub:{REPOSITORY}/{config}"


def unreachable(endpoint: str, *, offline: bool = False) -> str | None:
    """Why nothing answers at the endpoint, or at the proxy that leads there; None if one does."""
    if offline:
        return "offline mode is on (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE or TRANSFORMERS_OFFLINE)"
    host, port = _first_hop(endpoint)
    outcome: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=DEADLINE).close()
            outcome.append(None)
        except (OSError, UnicodeError, OverflowError) as error:
            outcome.append(f"{host}:{port}: {error}")

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(DEADLINE)
    return outcome[0] if outcome else f"{host}:{port} does not answer"


def _first_hop(endpoint: str) -> tuple[str, int]:
    """Host and port that a request to the endpoint connects to first."""
    url = urlsplit(endpoint)
    host = url.hostname or endpoint
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host = url.hostname or proxy
    try:
        port = url.port
    except ValueError:
        raise RpmaskError(
            f"The port in the address of '{host}' is not a number from 0 to 65535.",
            "Correct HF_ENDPOINT, or the proxy's address in HTTPS_PROXY.",
        ) from None
    if port is not None:
        return host, port
    return host, 80 if url.scheme == "http" else 443


def offline() -> bool:
    """Whether the user has told the libraries to stay off the network."""
    from huggingface_hub import constants

    configured = os.environ.get("HF_DATASETS_OFFLINE", "")
    return bool(constants.HF_HUB_OFFLINE) or configured.upper() in {"1", "ON", "YES", "TRUE"}


def _ways_out(config: str) -> str:
    return (
        "Connect to the network; or name a folder in the classic GLUE layout "
        f"({config.upper()}/train.tsv, ...) with --data-dir or RPMASK_GLUE_DIR; or bring your own "
        "CSV, JSON or Parquet files with --train and --dev; or try --task demo."
    )
