"""Datasets of the Hugging Face hub, read from the local cache of the `datasets` library or downloaded.

The hub is asked for one small answer before a download. Without that check the client retries an
unreachable hub for half a minute, and waits two minutes for a server that accepts the connection but
never answers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rpmask.errors import RpmaskError, RunFailed

if TYPE_CHECKING:
    import datasets

DEADLINE = 1.2  # seconds; with start-up, an error appears within two


@dataclass(frozen=True)
class HubDataset:
    """A task's dataset on the hub: `splits` maps our split names to the hub's.

    No config means the dataset's default one, or any in the cache. `alternatives` tells a user who cannot
    reach the hub what to do.
    """

    task: str
    repository: str
    config: str
    splits: Mapping[str, str]
    alternatives: str

    def check_within_reach(self) -> None:
        """Raise if the dataset is not in the cache and the hub does not answer."""
        if self.cached() is None:
            self._check_reachable()

    def load(self) -> tuple[dict[str, datasets.Dataset], str]:
        """Read every split, from the cache if it is there; return the splits and their source."""
        found = self.cached()
        if found is None:
            return self._download(), f"hub:{self._place}"
        files, version = found
        splits = {split: _read_arrow(paths) for split, paths in files.items()}
        return splits, f"cache:{self._place}@{version}"

    @property
    def _place(self) -> str:
        return f"{self.repository}/{self.config}".rstrip("/")

    def cached(self) -> tuple[dict[str, list[Path]], str] | None:
        """Find the Arrow files of the newest complete download, and its version.

        `datasets` would be asked instead, but takes more than a second to import.
        """
        root = _cache_root() / self.repository.replace("/", "___")
        known = root.glob(f"{self.config or '*'}/*/*/dataset_info.json")
        infos = sorted(known, key=lambda info: info.stat().st_mtime)
        for info in reversed(infos):
            files = {ours: _arrow_files(info.parent, hubs) for ours, hubs in self.splits.items()}
            if all(files.values()):
                return files, info.parent.name
        return None

    def _download(self) -> dict[str, datasets.Dataset]:
        self._check_reachable()
        import datasets
        from huggingface_hub import constants

        try:
            loaded = datasets.load_dataset(self.repository, self.config or None)
        except Exception as error:
            # Every layer of the client has its own exceptions: HTTP, TLS, Arrow, the hub.
            raise RunFailed(
                f"Loading '{self.task}' from {constants.ENDPOINT} failed: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
                self.alternatives,
            ) from error
        for split in self.splits.values():
            if split not in loaded:
                raise RpmaskError(
                    f"{self._place} has no split '{split}'.",
                    f"Its splits are: {', '.join(loaded)}.",
                )
        return {ours: loaded[hubs] for ours, hubs in self.splits.items()}

    def _check_reachable(self) -> None:
        from huggingface_hub import constants

        problem = unreachable(constants.ENDPOINT, offline=is_offline())
        if problem:
            raise RpmaskError(
                f"Task '{self.task}' is not on this machine and the hub cannot be reached: {problem}.",
                self.alternatives,
            )


def unreachable(endpoint: str, *, offline: bool = False) -> str | None:
    """Why the hub's client gets no answer from the endpoint; None if it gets one.

    The request runs in a thread because no timeout covers a name server that does not answer.
    """
    if offline:
        return "offline mode is on (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE or TRANSFORMERS_OFFLINE)"
    from huggingface_hub import get_session

    outcome: list[str | None] = []

    def request() -> None:
        try:
            # Any status will do, so a redirect is not followed.
            get_session().head(endpoint, timeout=DEADLINE, follow_redirects=False)
            outcome.append(None)
        except Exception as error:  # of the client's HTTP library, which changes with its version
            outcome.append(f"{endpoint}: {error or type(error).__name__}")

    attempt = threading.Thread(target=request, daemon=True)
    attempt.start()
    attempt.join(DEADLINE)
    return outcome[0] if outcome else f"{endpoint} does not answer"


def is_offline() -> bool:
    """Whether the user has switched the libraries to offline mode."""
    from huggingface_hub import constants

    configured = os.environ.get("HF_DATASETS_OFFLINE", "")
    return bool(constants.HF_HUB_OFFLINE) or configured.upper() in {"1", "ON", "YES", "TRUE"}


def _cache_root() -> Path:
    """Where `datasets` keeps its downloads."""
    from huggingface_hub import constants

    configured = os.environ.get("HF_DATASETS_CACHE")
    return Path(configured) if configured else Path(constants.HF_HOME, "datasets")


def _arrow_files(folder: Path, split: str) -> list[Path]:
    whole = sorted(folder.glob(f"*-{split}.arrow"))
    return whole[:1] or sorted(folder.glob(f"*-{split}-?????-of-?????.arrow"))


def _read_arrow(paths: list[Path]) -> datasets.Dataset:
    import datasets
    import pyarrow

    try:
        return datasets.concatenate_datasets([datasets.Dataset.from_file(str(p)) for p in paths])
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RpmaskError(
            f"The cached file {paths[0]} cannot be read: {' '.join(str(error).split())[:200]}.",
            f"Delete the folder {paths[0].parent}; it is downloaded again.",
        ) from error
