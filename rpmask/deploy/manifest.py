"""The manifest of an export, `rpmask.json`, with the digest of every other file in the folder.

The manifest must have its own digest, and every file the size and sha256 that it states, before any file is
parsed. So a changed byte anywhere is one clear error and never a wrong model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rpmask.errors import RpmaskError
from rpmask.files import write_whole
from rpmask.jsonrecord import Record, canonical_json, digest_of

FILE = "rpmask.json"
CARD = "README.md"  # of a folder for the hub, where it may be edited
SCHEMA_VERSION = 1
FORMS = ("packed", "dense", "csr", "compact", "onnx")
HUB = "hub"  # how to write the form `dense` with its mask and a model card
VALUES = ("fp32", "fp16", "bf16", "int8")
LARGEST = 1 << 24  # bytes of rpmask.json: beyond any model's


@dataclass(frozen=True)
class FileEntry(Record):
    """The size and digest of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Check(Record):
    """How the export's logits compare with those of its model, on real rows.

    same_answers is the share of rows with the same class; None for a regression.
    """

    rows: int
    max_abs_diff: float
    tolerance: float
    same_answers: float | None


@dataclass(frozen=True)
class Manifest(Record):
    """The export: its form, its model, how inputs are read, its files.

    pair: whether a row is a pair of texts; None if unknown, as for a plain folder. standard: whether
    transformers alone reads it. routes and machine are for csr: the number of input rows up to which each
    matrix is multiplied as CSR, and the machine where that was measured.
    """

    form: str
    task: str
    source: str
    inputs: str = "text"
    kind: str = "classification"
    pair: bool | None = False
    labels: tuple[str, ...] = ()
    max_length: int = 128
    sparsity: float = 0.0
    values: str = "fp32"
    mask_digest: str | None = None
    standard: bool = False
    note: str = ""
    dense_bytes: int = 0
    masked_bytes: int = 0
    masked_dense_bytes: int = 0
    routes: dict[str, int] = field(default_factory=dict)
    machine: str = ""
    check: Check | None = None
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry in self.files.values())


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the digest of every file in the folder; return it."""
    files = {
        str(path.relative_to(folder)): _entry(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (FILE, CARD)
    }
    manifest = replace(manifest, files=files, digest="")
    manifest = replace(manifest, digest=digest_of(manifest.to_dict()))
    write_whole(folder / FILE, _serialized(manifest))
    return manifest


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export, damaged or not."""
    return (folder / FILE).is_file()


def export_in(folder: Path) -> Path | None:
    """The export in a folder: the folder itself, or the artifact inside a model that MLflow logged."""
    if is_export(folder):
        return folder
    if (folder / "MLmodel").is_file():
        return next((path.parent for path in sorted(folder.glob(f"artifacts/*/{FILE}"))), None)
    return None


def open_export(folder: Path) -> Manifest:
    """Read the manifest and check every file against it."""
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            found = _entry(path)
        except OSError as error:
            raise damaged(folder, f"its file {name} cannot be read ({error.strerror})") from error
        if found.bytes != entry.bytes:
            raise damaged(folder, f"{name} has {found.bytes:,} bytes, not {entry.bytes:,}")
        if found.sha256 != entry.sha256:
            raise damaged(folder, f"the sha256 of {name} is not the one in {FILE}")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and check its own digest, but not the files."""
    path = folder / FILE
    try:
        if path.stat().st_size > LARGEST:
            raise damaged(folder, f"{FILE} is too large")
        content = path.read_bytes()
    except OSError as error:
        raise RpmaskError(
            f"{folder} is not an export: {FILE} cannot be read ({error.strerror}).",
            "Name a folder that `rpmask export` wrote.",
        ) from error
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(folder, f"{FILE} is not JSON") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION and _digest_fits(raw):
        raise RpmaskError(
            f"{folder} has export format {version}; this rpmask reads up to {SCHEMA_VERSION}.",
            "Upgrade rpmask.",
        )
    try:
        manifest = Manifest.from_dict(raw, FILE)
    except RpmaskError as error:
        raise damaged(folder, error.message.rstrip(".")) from error
    if content != _serialized(manifest) or not _digest_fits(raw):
        raise damaged(folder, f"{FILE} does not fit its own digest")
    _check_sense(folder, manifest)
    return manifest


def damaged(place: Path, what: str) -> RpmaskError:
    """The error of every reader of exports."""
    return RpmaskError(f"{place} is damaged: {what}.", "Copy it again, or export the model again.")


def _check_sense(folder: Path, manifest: Manifest) -> None:
    """Refuse what a manifest written by hand could contain in spite of a correct digest."""
    if manifest.form not in FORMS:
        raise damaged(folder, f"its form '{manifest.form}' is unknown")
    for name in manifest.files:
        parts = Path(name).parts
        if Path(name).is_absolute() or ".." in parts or "\0" in name or not parts:
            raise damaged(folder, f"it names a file outside itself, '{name}'")


def _digest_fits(raw: dict[str, Any]) -> bool:
    return bool(raw.get("digest") == digest_of({**raw, "digest": ""}))


def _serialized(manifest: Manifest) -> bytes:
    return canonical_json(manifest.to_dict()).encode() + b"\n"


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(bytes=file.tell(), sha256=digest)
