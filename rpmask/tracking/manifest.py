"""Digests of the artifacts of a run, which prove that a file is still the one that the run wrote.

`manifest.json` holds the sha256 of every artifact, and a tag of the run holds the sha256 of the manifest. A
file that was damaged, or swapped with another run's, is refused by name, whatever its format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from rpmask.errors import RpmaskError

MANIFEST = "manifest.json"
TAG = "rpmask.manifest"


def digest_of_file(path: Path) -> str:
    """sha256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_text(digests: Mapping[str, str]) -> tuple[str, str]:
    """The manifest of these artifacts, and its own digest."""
    text = json.dumps(dict(sorted(digests.items())), indent=1, ensure_ascii=False) + "\n"
    return text, hashlib.sha256(text.encode()).hexdigest()


def read_manifest(path: Path, digest: str, run_id: str) -> dict[str, str]:
    """The digests of a run's artifacts; refused unless the manifest has the digest in the run's tag."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise changed(MANIFEST, run_id)
    found: dict[str, str] = json.loads(content)
    return found


def changed(name: str, run_id: str) -> RpmaskError:
    """The error for an artifact that is not the file that the run wrote."""
    return RpmaskError(
        f"The artifact '{name}' of run '{run_id}' is not the file that the run wrote.",
        "It was damaged or swapped; put it back, or run the step again with --force.",
    )
