"""GLUE from the local cache of the `datasets` library, or from the hub.

A hub that cannot be reached is found out by one small request with a deadline: left to itself the
client retries for half a minute, and waits two for one that takes the connection and never answers.
The request runs in a thread of its own because a name server that does not answer cannot be given a
deadline in any other way.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
    proxy_bypass,
)

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
    """GLUE's splits from the hub, and their source, or within two seconds the ways round it."""
    loaded = load_from_hub(config, REPOSITORY, config, splits, glue_ways_out(config))
    tables = {
        name: _table(f"{REPOSITORY}/{config} {name}", split) for name, split in loaded.items()
    }
    return tables, f"hub:{REPOSITORY}/{config}"


def load_from_hub(
    task: str, repository: str, config: str, splits: Iterable[str], ways_out: str
) -> dict[str, datasets.Dataset]:
    """The splits of a task from the hub, or an error with the ways round it."""
    from huggingface_hub import constants

    check_reachable(task, ways_out)
    import datasets

    try:
        loaded = datasets.load_dataset(repository, config)
        return {split: loaded[split] for split in splits}
    except Exception as error:
        # Each of the client's layers has exceptions of its own: HTTP, TLS, Arrow, the hub.
        raise RunFailed(
            f"Loading '{task}' from {constants.ENDPOINT} failed: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
            ways_out,
        ) from error


def check_reachable(task: str, ways_out: str) -> None:
    """Refuse a task that only the hub has, where the hub does not answer."""
    from huggingface_hub import constants

    problem = unreachable(constants.ENDPOINT, offline=offline())
    if problem:
        raise RpmaskError(
            f"Task '{task}' is not on this machine and the hub cannot be reached: {problem}.",
            ways_out,
        )


def unreachable(endpoint: str, *, offline: bool = False) -> str | None:
    """Why nothing answers at the endpoint, or at the proxy that leads there; None if one does."""
    if offline:
        return "offline mode is on (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE or TRANSFORMERS_OFFLINE)"
    proxy = _proxy_to(endpoint)
    host, port = _first_hop(endpoint, proxy)
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            if proxy and proxy.startswith("socks"):  # urllib does not speak it; the client may
                socket.create_connection((host, port), timeout=DEADLINE).close()
            else:
                _head(endpoint, proxy)
            outcome.append(None)
        except (OSError, HTTPException, ValueError, OverflowError) as error:
            outcome.append(f"{host}:{port}: {getattr(error, 'reason', error)}")

    attempt = threading.Thread(target=ask, daemon=True)
    attempt.start()
    attempt.join(DEADLINE)
    return outcome[0] if outcome else f"{host}:{port} does not answer"


class _Stay(HTTPRedirectHandler):
    """Leaves a redirect where it is: it is an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


def _head(endpoint: str, proxy: str | None) -> None:
    """Ask the endpoint for anything at all; raises if no HTTP answer comes."""
    scheme = urlsplit(endpoint).scheme
    opener = build_opener(_Stay, ProxyHandler({scheme: proxy} if proxy else {}))
    try:
        opener.open(Request(endpoint, method="HEAD"), timeout=DEADLINE).close()
    except HTTPError:
        pass  # whatever it thinks of the request, it answers
    except URLError as error:
        # The client has certificates of its own to judge by.
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise


def _proxy_to(endpoint: str) -> str | None:
    """The proxy that leads to the endpoint, if any."""
    url = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(url.hostname or endpoint) else proxy


def _first_hop(endpoint: str, proxy: str | None) -> tuple[str, int]:
    """Host and port that a request to the endpoint connects to first."""
    url = urlsplit(endpoint)
    host = url.hostname or endpoint
    if proxy:
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


def glue_ways_out(config: str) -> str:
    """What to do where a GLUE task is neither here nor to be had."""
    return (
        "Connect to the network; or name a folder in the classic GLUE layout "
        f"({config.upper()}/train.tsv, ...) with --data-dir or RPMASK_GLUE_DIR; or bring your own "
        "CSV, JSON or Parquet files with --train and --dev; or try --task demo."
    )
