"""The one table from errors to exit codes, and the one place where an error becomes a line on stderr.

0 done; 1 failed; 2 usage or invalid input; 3 not found; 4 conflict; 5 storage failure or damage met on reading; 6 what
is to be read is in an archive, and must be restored first.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cli import signals, stdio
from pfs import errors
from pfs.shorten import quoted, shorten

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DONE, FAILED, USAGE, NOT_FOUND, CONFLICT, STORAGE, ARCHIVED = range(7)

_CODES: tuple[tuple[type[errors.PfsError], int], ...] = (
    (errors.InvalidInputError, USAGE),
    (errors.NotFoundError, NOT_FOUND),
    (errors.ConflictError, CONFLICT),
    (errors.CorruptionError, STORAGE),
    (errors.ArchivedError, ARCHIVED),
    (errors.StorageError, STORAGE),
    (errors.FailedError, FAILED),
)


class ExitCode(Exception):  # noqa: N818 - not an error: a command's way to end with a code after it has said all
    """End the program with ``code``, printing nothing more."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class WrongWords(Exception):  # noqa: N818 - of a command line, and no error of the libraries
    """The words do not fit the command: ``(command, message)``, the first with its program."""

    def __init__(self, command: str, message: str) -> None:
        super().__init__(command, message)
        self.command, self.line = command, " ".join(map(shorten, message.split()))


def exit_code(error: errors.PfsError) -> int:
    """Return the documented code of an error's group."""
    return next((code for group, code in _CODES if isinstance(error, group)), FAILED)


def usage_error(message: str) -> errors.InvalidInputError:
    """Return the error of a wrong command line; raise it."""
    return errors.InvalidInputError(message)


@contextmanager
def told_with(place: str) -> Iterator[None]:
    """Let the line of an error from the body begin with ``place``; it stays the error that it is."""
    try:
        yield
    except errors.PfsError as error:
        if place:
            error.add_note(place)
        raise


def guard(program: str, body: Callable[[], object], *, reads: bool = False) -> int:
    """Run ``body`` and return the exit code, having printed at most one line on stderr.

    ``reads``: it changes nothing, so there is nothing to say about that.
    """
    try:
        result = body()
        stdio.flush()
    except errors.PfsError as error:
        places = reversed(getattr(error, "__notes__", ()))
        return _say(program, ": ".join([*places, str(error)]), exit_code(error))
    except ExitCode as stop:
        return stop.code
    except stdio.OutputClosed as closed:
        return _output_closed(program, closed.reason, reads=reads)
    except KeyboardInterrupt as stop:
        return _say(program, "interrupted: nothing half-written was kept", signals.code_of(stop))
    except WrongWords as error:
        return _say(error.command, f"{_lower(error.line)}: see `{error.command} --help`", USAGE)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return FAILED  # that of stderr, since stdout has its own: nobody is there to be told
        place = quoted(error.filename) if error.filename is not None else "the system"
        advice = "; free space and try again" if error.errno in _FULL else ""
        return _say(program, f"cannot use {place}: {(error.strerror or str(error)).lower()}{advice}", _os_code(error))
    except Exception as error:  # the last guard: our own bugs must not end in a traceback for the user
        if os.environ.get("PFS_DEBUG"):
            import traceback

            traceback.print_exc()
        return _say(program, f"internal error: {type(error).__name__}: {error}; PFS_DEBUG=1 shows where", FAILED)
    return result if isinstance(result, int) else DONE


def _os_code(error: OSError) -> int:
    return NOT_FOUND if isinstance(error, FileNotFoundError) else STORAGE


def _lower(message: str) -> str:
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:]


def _say(program: str, message: str, code: int) -> int:
    line = " ".join(message.splitlines())
    with suppress(stdio.OutputClosed):
        stdio.flush()
    with suppress(OSError):  # nobody is there to hear it; the code says it all the same
        print(f"{program}: {line}", file=sys.stderr)
    return code


def _output_closed(program: str, reason: OSError, *, reads: bool) -> int:
    """Say why the output could not be written; silence for a reader that has seen enough (`… | head`)."""
    stdio.give_up()
    if isinstance(reason, BrokenPipeError):
        return 128 + signal.SIGPIPE
    detail = (reason.strerror or str(reason)).lower()
    end = "" if reads else "; what the command did stands"
    return _say(program, f"cannot write the output: {detail}{end}", STORAGE)
