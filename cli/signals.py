"""Ctrl-C and SIGTERM: both end a command where its main thread is, with all tidied up, but never within an import."""

from __future__ import annotations

import _thread
import os
import signal
import time
from types import FrameType
from typing import Final

_AGAIN_S: Final = 0.01
_IMPORTER: Final = "<frozen importlib._bootstrap>"


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what is under way ends as by Ctrl-C."""


def take() -> None:
    """Take both signals from now on, as far as they are not ignored or taken by somebody; main thread only."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code that shells know for the signal."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        # Native modules that call Python while they begin do not all stand an error there: some crash, some go on.
        _thread.start_new_thread(_again, (number,))
        return
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _again(number: int) -> None:
    time.sleep(_AGAIN_S)
    os.kill(os.getpid(), number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTER:
            return True
        frame = frame.f_back
    return False
