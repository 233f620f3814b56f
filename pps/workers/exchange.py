"""How a running command asks for its next datum: a named pipe for calls, one for answers, and programs that use them.

They are in ``/pfs/.batch``, so who can write there is the command. A call is ``<who> <way> <error>`` and a NUL, at most
PIPE_BUF long, so calls are never mixed; an answer is ``<who> <word>`` and a newline, and whoever has read it writes
``<who>`` and a newline to a third pipe. ``way`` is ``next``, or ``last`` from a caller that does not want to hear of
the end: Pachyderm ends the command then.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple, Self

from pfs.errors import FailedError
from pps.batching import ANSWER, CALL, ERROR_BYTES, HEARD

FOLDER: Final = ".batch"
"""Its name in /pfs."""
PROGRAMS: Final = ("next-datum", "pachctl")
_BIN: Final = "bin"
_READ_BYTES: Final = 64 * 1024
_SCRIPT: Final = f"""\
#!/bin/sh
# Asks for the next datum of a batched command. Exit code: 0 it is in place, 1 there is none any more.
folder=${{PFS_BATCH:-/pfs/.batch}}
way=next
if [ "${{0##*/}}" = pachctl ]; then
    case "$1 $2" in
    "next datum") way=last; shift 2 ;;
    "connect "* | "config "* | "version "* | "auth "*) exit 0 ;;
    *) echo 'pachctl: a batched command has `pachctl next datum [--error TEXT]` only' >&2; exit 2 ;;
    esac
fi
error=
while [ $# -gt 0 ]; do
    case $1 in
    --error=*) error=${{1#--error=}} ;;
    --error) shift; error=${{1-}} ;;
    *) echo "${{0##*/}}: unknown argument $1: there is only --error TEXT" >&2; exit 2 ;;
    esac
    [ $# -eq 0 ] || shift
done
[ -p "$folder/{CALL}" ] || {{ echo "${{0##*/}}: there is no worker to ask for the next datum" >&2; exit 2; }}
printf '%s %s %.{ERROR_BYTES}s\\0' "$$" "$way" "$error" > "$folder/{CALL}"
while read -r who word < "$folder/{ANSWER}"; do
    [ "$who" = "$$" ] || continue
    echo "$$" > "$folder/{HEARD}"
    [ "$word" = go ]
    exit
done
exit 2
"""


class Call(NamedTuple):
    """One call: ``who`` is to be answered; ``error``: why the datum under way failed, empty when it did not.

    ``may_end``: the caller wants to hear when there is no datum any more.
    """

    who: bytes
    may_end: bool
    error: str


class BadCallError(FailedError):
    """What came over the pipe is no call: ``(reason)``."""

    kind = "bad-call"


def parse_call(data: bytes) -> Call:
    """Read a call, without its NUL.

    Raises:
        BadCallError: it is none.
    """
    parts = data.split(b" ", 2)
    if len(parts) != 3 or not parts[0] or b"\n" in parts[0] or parts[1] not in {b"next", b"last"}:
        raise BadCallError("what it sent to the worker is no call of next-datum")
    return Call(parts[0], parts[1] == b"next", parts[2].decode(errors="replace").strip())


class Exchange:
    """The pipes of one process, in a folder of their own; also a context manager. One thread."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._data = folder, b""
        programs = folder / _BIN
        programs.mkdir(parents=True)
        for name in PROGRAMS:
            program = programs / name
            program.write_text(_SCRIPT)
            program.chmod(0o755)
        self._fds: list[int] = []
        for name in (CALL, ANSWER, HEARD):
            os.mkfifo(folder / name)
            # For a container whose user is another one.
            (folder / name).chmod(0o666)
            # Both ways, so that neither opening nor reading ends for want of somebody on the other side.
            self._fds.append(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        self.fd = self._fds[0]
        """Readable when there is a call."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for fd in self._fds:
            os.close(fd)

    def calls(self) -> list[Call]:
        """Return the calls that are there.

        Raises:
            BadCallError: something else is there.
        """
        try:
            self._data += os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return []
        *whole, self._data = self._data.split(b"\0")
        if len(self._data) > _READ_BYTES:
            raise BadCallError("what it sent to the worker is no call of next-datum")
        return [parse_call(data) for data in whole]

    def was_heard(self, call: Call) -> bool:
        """Say whether the answer to ``call`` has arrived; who asked may have been gone before it came.

        It is told after the answer was read, so if it was not told, nobody works on what was answered.
        """
        try:
            return call.who in os.read(self._fds[2], _READ_BYTES).split(b"\n")
        except BlockingIOError:
            return False

    def answer(self, call: Call, word: bytes) -> None:
        """Answer a call.

        Raises:
            BadCallError: answers are not read.
        """
        try:
            os.write(self._fds[1], b"%s %s\n" % (call.who, word))
        except BlockingIOError:
            raise BadCallError("it does not read the answers to its calls") from None


def programs_in(folder: str) -> str:
    """Return where the programs are, below the folder of an exchange."""
    return f"{folder}/{_BIN}"
