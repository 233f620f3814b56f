"""What a command left in its scratch directory, found in one look: whatever is odd is left for the long way."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pps.sandbox.handover import hand_over
from pps.sandbox.listening import ENDED, ERR, OUT, Ears
from pps.workers import new_file, sweep
from pps.workers.inode_flags import flags, unlock
from pps.workers.scratch import Scratch, Workplace

PLACES = ("cwd/pfs/in", "cwd/pfs/in/d", "cwd/pfs/in/d/e")
needs_extension = pytest.mark.skipif(sweep._native is None, reason="the extension is not built")


def laid_out(top: Path) -> Scratch:
    """Return a scratch with two files of an input in it."""
    scratch = Scratch.make(top, PLACES)
    for path in ("cwd/pfs/in/f", "cwd/pfs/in/d/e/g"):
        (top / path).write_text("given")
        scratch.wrote(path)
    return scratch


def listing(top: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mode) for path in top.rglob("*"))


def is_odd(path: Path) -> bool:
    """Say whether another than this user, other times or a flag are to be seen on a folder."""
    status = path.lstat()
    ours = (status.st_uid, status.st_gid) == (os.geteuid(), path.parent.stat().st_gid)
    return not ours or status.st_mtime < 1e9 or flags(str(path)) != flags(str(path.parent))


@needs_extension
def test_a_scratch_that_is_as_it_was_made_is_clear_at_once(tmp_path: Path) -> None:
    fresh = listing(Scratch.make(tmp_path / "a", PLACES).top)
    scratch = laid_out(tmp_path / "b")
    (scratch.pfs / "in/f").write_text("changed")
    (scratch.pfs / "in/d/e/g").unlink()
    assert scratch.sweep()
    assert [path.replace("/b", "/a", 1) for path, _ in listing(scratch.top)] == [path for path, _ in fresh]
    assert scratch.sweep(), "once more, with nothing to remove"


def link_away(scratch: Scratch) -> None:
    """Put a link to another folder, with a file of the same name, where an input's folder was."""
    other = scratch.top.with_name("other")
    (scratch.pfs / "in/d/e").rename(other)
    (scratch.pfs / "in/d/e").symlink_to(other)


def chattr(*args: str | Path) -> None:
    """Set flags, or skip: it takes root, and a file system that has them."""
    try:
        subprocess.run(["chattr", *args], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no flags here: {error}")


@pytest.fixture(autouse=True)
def unlocked(tmp_path: Path) -> Iterator[None]:
    """Leave nothing behind that cannot be removed."""
    yield
    for path in (tmp_path, *tmp_path.rglob("*")):
        unlock(str(path))


ODD: dict[str, Callable[[Scratch], object]] = {
    "an output": lambda scratch: (scratch.out / "f").touch(),
    "a hidden file": lambda scratch: (scratch.home / ".x").touch(),
    "a folder": lambda scratch: (scratch.tmp / "new").mkdir(),
    "a pipe": lambda scratch: os.mkfifo(scratch.pfs / "in/d/new"),
    "another mode": lambda scratch: scratch.out.chmod(0o1755),
    "an attribute": lambda scratch: os.setxattr(scratch.home, "user.x", b"y"),
    "no folder": lambda scratch: scratch.out.rmdir(),
    "a file for a folder": lambda scratch: (scratch.out.rmdir(), scratch.out.touch()),
    "a folder for a file": lambda scratch: ((scratch.pfs / "in/f").unlink(), (scratch.pfs / "in/f").mkdir()),
    "a link for a folder": link_away,
    "many files": lambda scratch: [(scratch.code / str(number)).touch() for number in range(500)],
    "another owner": lambda scratch: os.chown(scratch.out, 1234, 1234),
    "another group, and something made after": lambda scratch: (
        os.chown(scratch.tmp, -1, 1234),
        (scratch.tmp / "f").touch(),
        (scratch.tmp / "f").unlink(),
    ),
    "other times": lambda scratch: os.utime(scratch.home, (0, 0)),
    "a flag": lambda scratch: chattr("+i", scratch.out),
    "a flag that only says something": lambda scratch: (
        chattr("+d", scratch.home),
        (scratch.home / "f").touch(),
        (scratch.home / "f").unlink(),
    ),
    "a flag on the folder of a folder": lambda scratch: chattr("+a", scratch.tmp),
    "a flag on a file": lambda scratch: ((scratch.out / "f").touch(), chattr("+i", scratch.out / "f")),
    "flags below": lambda scratch: (
        (scratch.tmp / "x/y").mkdir(parents=True),
        (scratch.tmp / "x/y/f").touch(),
        chattr("+i", scratch.tmp / "x/y/f", scratch.tmp / "x/y"),
        chattr("+a", scratch.tmp / "x"),
    ),
    "what a layer holds": lambda scratch: (scratch.layer("0")[0] / "f").touch(),
    "the mode of a layer": lambda scratch: scratch.layer("0")[0].chmod(0o700),
    "a layer of others": lambda scratch: (scratch.layers / "1").mkdir(),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_extension), False], ids=["extension", "python"])
def test_whatever_is_odd_is_seen_and_then_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool, what: str
) -> None:
    if not native:
        monkeypatch.setattr(sweep, "_native", None)
    fresh = listing(Scratch.make(tmp_path / "a", PLACES).top)
    scratch = laid_out(tmp_path / "b")
    try:
        ODD[what](scratch)
    except OSError as error:
        pytest.skip(f"not to be had here: {error}")
    assert not scratch.sweep()
    scratch.clear()
    scratch.fill()
    found = [(path.replace("/b", "/a", 1), mode) for path, mode in listing(scratch.top)]
    assert [one for one in found if "/layers/" not in one[0]] == fresh
    assert not [path for path in scratch.top.rglob("*") if is_odd(path)]
    if what == "a link for a folder":
        assert (tmp_path / "other/g").read_text() == "given"


@needs_extension
def test_what_an_overlay_leaves_behind_is_nothing(tmp_path: Path) -> None:
    scratch = laid_out(tmp_path / "b")
    upper, work = scratch.layer("code")
    (work / "work").mkdir(mode=0)
    try:
        os.setxattr(upper, "user.overlay.origin", b"of a mount before")
    except OSError as error:
        pytest.skip(f"no attributes here: {error}")
    assert scratch.sweep()
    assert os.listxattr(upper) == []
    assert (upper, work) == scratch.layer("code")
    (upper / "f").touch()
    os.setxattr(upper, "user.overlay.origin", b"of a mount before")
    assert not scratch.sweep()
    assert os.listxattr(upper) == ["user.overlay.origin"], "the output may depend on it"


@needs_extension
def test_a_failed_look_removes_nothing(tmp_path: Path) -> None:
    scratch = laid_out(tmp_path / "b")
    (scratch.layers / "x").touch()
    before = listing(scratch.top)
    assert not scratch.sweep()
    assert listing(scratch.top) == before


def test_without_the_extension_all_is_cleared_the_long_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = listing(Scratch.make(tmp_path / "a", PLACES).top)
    monkeypatch.setattr(sweep, "_native", None)
    with Workplace(tmp_path / "b").scratch(PLACES) as scratch:
        (scratch.pfs / "in/f").write_text("given")
        scratch.wrote("cwd/pfs/in/f")
        assert not scratch.sweep()
    assert [(path.replace("/b", "/a", 1), mode) for path, mode in listing(tmp_path / "b")] == fresh


@pytest.mark.parametrize("files", [["new/f"], [f"tmp/{number}" for number in range(100)]], ids=["unknown", "many"])
def test_files_that_are_too_many_or_lie_elsewhere_go_the_long_way(tmp_path: Path, files: list[str]) -> None:
    scratch = laid_out(tmp_path / "b")
    for path in files:
        (scratch.top / path).parent.mkdir(exist_ok=True)
        (scratch.top / path).touch()
        scratch.wrote(path)
    assert not scratch.sweep()
    scratch.clear()
    assert not any(path.is_file() for path in scratch.top.rglob("*"))


@pytest.mark.parametrize("native", [True, False], ids=["extension", "python"])
def test_ears_hear_what_came_last_and_keep_the_status(native: bool) -> None:
    (out, out_w), (err, err_w), (status, status_w) = (os.pipe() for _ in range(3))
    ears = Ears(out, err, status, native=native)
    assert ears.listen(0.0) == 0
    said = [b'{"number": %d}\n' % number for number in range(1000)]
    for line in said:
        os.write(status_w, line)
    os.close(err_w)
    while ears.text != b"".join(said):
        ears.listen(0.0)
        if (ears.streams[ERR] >= 0) and not native:
            ears.streams[ERR] = -1  # closed, as who reads it sees
    os.write(out_w, b"last")
    os.close(out_w)
    os.close(status_w)
    found = ears.listen(None)
    while not found & ENDED:
        found = ears.listen(None)
    assert found & OUT
    for fd in (out, err, status):
        os.close(fd)


@pytest.mark.parametrize("native", [True, False], ids=["extension", "python"])
def test_no_pipe_is_left_when_nobody_takes_the_request(native: bool) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with ours, pytest.raises(BrokenPipeError):
        hand_over(ours, b"x" * 100, stdin=0, native=native)
    assert len(os.listdir("/proc/self/fd") if before else []) == max(0, len(before) - 1)


@pytest.mark.parametrize("native", [True, False], ids=["extension", "python"])
def test_a_new_file_replaces_nothing_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(new_file, "_native", None)
    place, data = str(tmp_path / "né"), bytes(range(256)) * 5000
    assert new_file.write_new(place, data, mode=0o750)
    assert not new_file.write_new(place, b"other")
    assert Path(place).read_bytes() == data
    assert Path(place).stat().st_mode & 0o700 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert not new_file.write_new(str(tmp_path / "link"), b"x")
    with pytest.raises(FileNotFoundError) as raised:
        new_file.write_new(str(tmp_path / "no/f"), b"x")
    assert raised.value.filename is not None
    if sys.platform == "linux":
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                new_file.write_new(str(tmp_path / "cut"), data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
