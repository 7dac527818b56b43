"""A lock is one for all of a user's processes, wherever their environment points, and follows no link."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import clean_environment

from rpmask.errors import RpmaskError
from rpmask.tracking import locks

HOLD = """
import sys, time
from rpmask.tracking.locks import hold_lock
with hold_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(name: str, seconds: float, folder: Path) -> subprocess.Popen[str]:
    """A process that holds a lock, with a home and a temporary folder of its own."""
    folder.mkdir(exist_ok=True)
    places = {variable: str(folder) for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, name, str(seconds)],
        env={**clean_environment(), **places, "XDG_RUNTIME_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks that is this test's own."""
    found = tmp_path / "locks"
    monkeypatch.setattr(locks, "places", lambda: [found])
    return found


def test_another_temporary_folder_is_no_other_lock(tmp_path: Path) -> None:
    name = f"test {tmp_path}"
    first = holder(name, 60, tmp_path / "one")
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    second = holder(name, 0, tmp_path / "other")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=3)  # it waits
    first.kill()  # the kernel frees what a killed process held
    assert second.communicate(timeout=60)[0] == "held\n"
    assert second.returncode == 0
    first.wait()
    first.stdout.close()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """In the folder that every local user could write a name into."""
    planted, victim = tmp_path / f"rpmask-locks-{os.getuid()}", tmp_path / "victim"
    planted.mkdir()
    victim.write_text("keep me")
    name = f"test {tmp_path}"
    (planted / hashlib.sha256(name.encode()).hexdigest()[:32]).symlink_to(victim)
    done = holder(name, 0, tmp_path)
    assert done.communicate(timeout=60)[0] == "held\n"
    assert victim.read_text() == "keep me"


def test_a_lock_that_is_a_link_is_refused(place: Path) -> None:
    with locks.hold_lock("a"):
        (path,) = place.iterdir()
    path.symlink_to(place.parent / "victim")
    with pytest.raises(RpmaskError, match=r"The lock .* is a link"), locks.hold_lock("a"):
        pass
    assert not (place.parent / "victim").exists()


def test_the_folder_is_private_and_left_empty(place: Path) -> None:
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    with locks.hold_lock("a"), locks.hold_lock("b"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert [stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()] == [0o600, 0o600]
    assert list(place.iterdir()) == []


def test_a_folder_that_is_a_link_or_a_file_is_refused(place: Path) -> None:
    (place.parent / "elsewhere").mkdir()
    place.symlink_to(place.parent / "elsewhere")
    with pytest.raises(RpmaskError, match="is a link"), locks.hold_lock("a"):
        pass
    assert not list((place.parent / "elsewhere").iterdir())
    place.unlink()
    place.write_text("")
    with pytest.raises(RpmaskError, match="is not a folder"), locks.hold_lock("a"):
        pass


def test_the_folder_of_another_user_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mkdir()
    monkeypatch.setattr(locks.os, "getuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(RpmaskError, match="belongs to another user"), locks.hold_lock("a"):
        pass


def test_without_a_home_that_can_be_written_there_is_a_fixed_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.parent / "home").write_text("no folder")
    home = place.parent / "home" / ".cache" / "rpmask" / "locks"
    monkeypatch.setattr(locks, "places", lambda: [home, place])
    with locks.hold_lock("a"):
        assert len(list(place.iterdir())) == 1


def test_a_file_system_without_locks_is_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network home whose server knows no locks."""
    home, locking = place.parent / "home", locks.fcntl.flock

    def flock(handle: int, how: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{handle}")).is_relative_to(home):
            raise OSError(locks.errno.ENOLCK, "No locks available")
        locking(handle, how)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "places", lambda: [home, place])
    with locks.hold_lock("a"):
        assert len(list(place.iterdir())) == 1


def test_places_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = locks.places()
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, "/nowhere")
    assert locks.places() == before
    assert before[-1] == Path(f"/tmp/rpmask-locks-{os.getuid()}")
