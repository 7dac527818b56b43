"""What a run wrote, file by file: proof that an artifact is still the one that the run left.

`manifest.json` holds the sha256 of every artifact, and a tag of the run that of the manifest, so that
a file that was damaged or swapped with another run's is refused by name, whatever its format.
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
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_text(written: Mapping[str, str]) -> tuple[str, str]:
    """The manifest of what was written, and its digest."""
    text = json.dumps(dict(sorted(written.items())), indent=1, ensure_ascii=False) + "\n"
    return text, hashlib.sha256(text.encode()).hexdigest()


def read_manifest(path: Path, digest: str, run_id: str) -> dict[str, str]:
    """The digests of a run's artifacts, if this is the manifest that its tag names."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise changed(MANIFEST, run_id)
    found: dict[str, str] = json.loads(content)
    return found


def changed(name: str, run_id: str) -> RpmaskError:
    """The error for a file that is not the one that was written."""
    return RpmaskError(
        f"The artifact '{name}' of run '{run_id}' is not the file that the run wrote.",
        "It was damaged or swapped; put it back, or run the step again with --force.",
    )
