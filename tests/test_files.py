"""Files appear whole, with the permissions that the user's umask gives them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rpmask.files import write_whole

WRITE = """
import os, sys
from pathlib import Path
from rpmask.files import write_whole
os.umask(0o027)
write_whole(Path(sys.argv[1]), b"")
"""


def test_the_umask_of_the_process_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment another thread's new files would be writable to everybody."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
    write_whole(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_file_has_the_mode_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "whole", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")}
    assert len(modes) == 1


def test_a_umask_that_is_set_later_counts(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "a")], check=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_files_of_other_threads_keep_their_modes(tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            write_whole(tmp_path / "whole", b"")

    before = os.umask(0o077)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3000):
            (tmp_path / f"{number}").touch()
    finally:
        stop.set()
        thread.join()
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / f"{number}").stat().st_mode) for number in range(3000)}
    assert modes == {0o600}
