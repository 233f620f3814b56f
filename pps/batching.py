"""For the code of a pipeline with ``datum_batching``: from datum to datum within one process.

Standard library only, so that it is there at once. A call asks the worker over two named pipes in the folder that
``PFS_BATCH`` names; the worker takes what is in /pfs/out, puts the inputs of the next datum in place and answers. One
datum is in place at a time: threads and child processes share it, and one of them asks for the next.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final, ParamSpec

from pfs.errors import FailedError

FOLDER_VARIABLE: Final = "PFS_BATCH"
DEFAULT_FOLDER: Final = "/pfs/.batch"
CALL, ANSWER, HEARD = "call", "answer", "heard"
"""The pipe to the worker, the one back, and the one that says that an answer was taken."""
GO, END = b"go", b"end"
"""Answers: the next datum is in place; there is none any more."""
ERROR_BYTES: Final = 2000
"""What is told of an error: a call has to fit into what a pipe takes in one piece (PIPE_BUF)."""

_NAME = re.compile(r"[^=\s]+=")
_Given = ParamSpec("_Given")


class NotBatchedError(FailedError):
    """There is no worker to ask: ``(reason)``."""

    kind = "not-batched"


class _Line:
    """The two pipes, open in this process. One thread at a time."""

    def __init__(self, folder: str) -> None:
        self.folder, self.pid = folder, os.getpid()
        try:
            self._call = os.open(os.path.join(folder, CALL), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._heard = os.open(os.path.join(folder, HEARD), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._answer = os.open(os.path.join(folder, ANSWER), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotBatchedError(
                f"there is no worker to ask for the next datum ({error.strerror}: {error.filename}): that is for the "
                "command of a pipeline with datum_batching, while it runs"
            ) from error
        os.set_blocking(self._call, True)
        self._count = 0

    def ask(self, error: str) -> bytes:
        """Send one call and wait for the answer to it."""
        self._count += 1
        name = b"%d.%d" % (self.pid, self._count)
        text = error.replace("\0", " ").encode(errors="backslashreplace")[:ERROR_BYTES]
        os.write(self._call, b"%s next %s\0" % (name, text))
        while True:
            whose, _, word = self._read().partition(b" ")
            # Answers to a process that was gone before it could hear them are still in the pipe.
            if whose == name:
                os.write(self._heard, name + b"\n")
                return word

    def _read(self) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            # A byte at a time at the end only: the answer is one short line, and nobody else's may be taken.
            piece = os.read(self._answer, 1 if data else 64)
            if not piece:
                raise NotBatchedError("the worker is gone")
            data += piece
        return data.splitlines()[-1]


_lock = threading.Lock()
_line: _Line | None = None
_shown: dict[str, str] = {}


def next_datum(error: str = "") -> bool:
    """End the datum under way and put the next one in place; False when there is none any more.

    ``error`` says that the datum under way failed, and why: it is tried again, which is then the next one, or has
    failed when its tries are used up. Else what is in /pfs/out is taken. The variables of the new datum are put into
    ``os.environ``, those that the last one had alone are removed from it. Blocks until all of that is done.

    Raises:
        NotBatchedError: this is not the command of a pipeline with datum_batching.
    """
    global _line
    folder = os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER)
    with _lock:
        if sys.stdout is not None:
            # What was printed belongs to the datum under way, not to the one that is there when the buffer is full.
            sys.stdout.flush()
        if _line is None or (_line.folder, _line.pid) != (folder, os.getpid()):
            _line = _Line(folder)
        going = _line.ask(error) == GO
        if going:
            _show(os.path.join(os.path.dirname(folder), ".env"))
    return going


def _show(path: str) -> None:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        found = parse_variables(file.read())
    for name in _shown.keys() - found.keys():
        os.environ.pop(name, None)
    # Only what changed: what the process itself set to another value since stays.
    os.environ.update({name: value for name, value in found.items() if _shown.get(name) != value})
    _shown.clear()
    _shown.update(found)


def parse_variables(text: str) -> dict[str, str]:
    """Read /pfs/.env: ``NAME=value`` a line; a line that does not begin so goes on with the value before it."""
    found: dict[str, str] = {}
    name = ""
    for line in text.removesuffix("\n").split("\n"):
        if _NAME.match(line):
            name, _, value = line.partition("=")
            found[name] = value
        elif name:
            found[name] += "\n" + line
    return found


@contextmanager
def batch_datum() -> Iterator[None]:
    """Put the next datum in place for the body of a ``with``, in an endless loop around it.

    An exception from the body is printed, and reported as the error of the datum; the loop goes on. When there is no
    datum any more the process is left by SystemExit, so nothing behind the loop runs.
    """
    if not next_datum(_take_error()):
        raise SystemExit(0)
    try:
        yield
    except Exception as error:
        _keep_error(error)


_error = threading.local()


def _take_error() -> str:
    text = getattr(_error, "text", "")
    _error.text = ""
    return text


def _keep_error(error: Exception) -> None:
    import traceback

    traceback.print_exc()
    _error.text = repr(error)


def batch_all_datums(function: Callable[_Given, object]) -> Callable[_Given, None]:
    """Decorate a function so that one call of it runs it for each datum, and returns when there is none any more.

    An exception fails the datum with its ``repr``; its traceback is in the datum's log, and the next call follows.
    """

    @wraps(function)
    def run(*args: _Given.args, **kwargs: _Given.kwargs) -> None:
        while next_datum(_take_error()):
            try:
                function(*args, **kwargs)
            except Exception as error:
                _keep_error(error)

    return run
