"""The life of a mount: checked, begun in front of the terminal or behind it, and ended by a signal or `pfs umount`."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from cli import process, wiring
from pfs.errors import ConflictError, FailedError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from pfs.paths import Address

_MOUNTED: Final = b"mounted"
_INSTALL: Final = "install it (Debian, Ubuntu: `apt install fuse3`; Fedora: `dnf install fuse3`; macOS: macFUSE)"


def check_place(place: Path) -> None:
    """Refuse a folder that cannot be mounted at.

    Raises:
        NotFoundError, InvalidInputError, ConflictError: it is not there, no folder, or not empty.
    """
    if _is_mounted(place):
        raise ConflictError(f"something is mounted at {str(place)!r} already: `pfs umount` ends it")
    if not place.exists():
        raise NotFoundError(f"no folder {str(place)!r} to mount at: make it first")
    if not place.is_dir():
        raise InvalidInputError(f"{str(place)!r} is no folder")
    if any(place.iterdir()):
        raise ConflictError(f"the folder {str(place)!r} is not empty: what is in it would be hidden")


def check_fuse() -> None:
    """Refuse where there is no FUSE, saying what to install.

    Raises:
        FailedError: the Python package, the library or the device is missing.
    """
    try:
        import pfs.mount.fuse  # noqa: F401  # mfusepy looks for the library when it is imported
    except ImportError as error:
        raise FailedError(f"mounting needs the package mfusepy: `pip install 'pfs[mount]'` ({error})") from error
    except OSError as error:
        raise FailedError(f"mounting needs FUSE, and its library is not here: {_INSTALL}") from error
    if sys.platform == "linux" and not os.path.exists("/dev/fuse"):
        raise FailedError(
            f"mounting needs FUSE, and /dev/fuse is not here: {_INSTALL}; in a container, pass the device"
        )


def serve(place: Path, only: Sequence[Address], *, on_mounted: Callable[[], None]) -> None:
    """Mount at ``place`` and serve until the end.

    Raises:
        NotFoundError, InvalidInputError: a repo or ref of ``only`` does not exist.
        FailedError: libfuse refused, with the reason that it gave.
    """
    from pfs.mount.fuse import run
    from pfs.mount.tree import MountTree

    process.stays()
    with wiring.open_store() as store, _Quiet() as quiet:
        tree = MountTree(store, only)

        def mounted() -> None:
            quiet.end()
            on_mounted()

        try:
            run(tree, place, name=str(store.path), on_mounted=mounted, on_error=_tell)
        except FailedError as error:
            reason = quiet.end()
            raise FailedError(f"cannot mount at {str(place)!r}: {reason}" if reason else str(error)) from error


def serve_behind(place: Path, only: Sequence[Address]) -> None:
    """Begin a process of its own that serves; return when the files are there.

    Raises:
        FailedError: it could not, with its reason.
    """
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _serve_detached(place.absolute(), only, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    if answer != _MOUNTED:
        raise FailedError(answer.decode() or "the process that should serve the mount ended")


def _serve_detached(place: Path, only: Sequence[Address], answer: int) -> NoReturn:
    """Serve as a daemon; write to ``answer`` that the files are there, or why not."""
    code = 1

    def mounted() -> None:
        os.chdir("/")  # the folder in which it began may be unmounted or removed
        os.write(answer, _MOUNTED)
        os.close(answer)

    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        serve(place, only, on_mounted=mounted)
        code = 0
    except Exception as error:  # whatever it is, the one who waits must learn of it
        with suppress(OSError):
            os.write(answer, str(error).encode())
    finally:
        os._exit(code)


def unmount(place: Path) -> None:
    """End a mount; a process that serves it behind the terminal ends too.

    Raises:
        NotFoundError: nothing is mounted there. FailedError: it cannot be ended, usually because files are open.
    """
    if not _is_mounted(place):
        raise NotFoundError(f"nothing is mounted at {str(place)!r}")
    program = next(filter(None, map(shutil.which, ("fusermount3", "fusermount"))), None)
    words = ["umount"] if program is None else [program, "-u"]
    done = subprocess.run([*words, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"cannot unmount {str(place)!r}: {_last_line(done.stderr) or f'exit code {done.returncode}'}")


def _is_mounted(place: Path) -> bool:
    """Say whether something is mounted there, also what is left of a mount whose process was killed."""
    return os.path.ismount(place) or _is_left(place)


def _is_left(place: Path) -> bool:
    try:
        os.lstat(place)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def _tell(line: str) -> None:
    with suppress(OSError):
        print(f"pfs mount: {line}", file=sys.stderr, flush=True)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class _Quiet:
    """Keeps what libfuse writes to stderr while it begins, so that its reason can be part of one line."""

    def __enter__(self) -> Self:
        sys.stderr.flush()
        self._kept = tempfile.TemporaryFile()
        self._stderr: int | None = os.dup(2)
        os.dup2(self._kept.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> str:
        """Let stderr be what it was; return the last line that was kept. Idempotent."""
        if self._stderr is None:
            return ""
        os.dup2(self._stderr, 2)
        os.close(self._stderr)
        self._stderr = None
        with self._kept as kept:
            kept.seek(0)
            return _last_line(kept.read().decode(errors="replace"))
