"""A process that runs one command: collects little garbage, and ends at once (docs/design/startup.md)."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from cli import signals

_GARBAGE: Final = 100_000
"""Objects made, beyond those freed, between looks for cycles: importing makes 30,000 to 60,000, and no garbage; a put
makes values by the million and no cycles, and looking would cost it a fifth."""
_GARBAGE_OF_SERVERS: Final = 20_000
_TURN_S: Final = 0.0003
"""How long a thread may keep the interpreter from another: threads here want it for moments between long calls that go
without, and waiting for the usual 5 ms leaves a core idle (a tenth of a put of many files)."""


def run_process(body: Callable[[], NoReturn]) -> NoReturn:
    """Run ``body``, which ends by `sys.exit`, and end the process with its code.

    When that is all that runs, the interpreter is not taken apart piece by piece, which takes as long as a small
    command itself: what was opened is closed, since commands close what they open, output is flushed, and handlers
    of `atexit` run as ever. With other threads that are to be waited for, the interpreter does it all.
    """
    gc.set_threshold(_GARBAGE, 10, 10)
    sys.setswitchinterval(_TURN_S)
    signals.take()
    try:
        body()
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
    except KeyboardInterrupt as stop:  # before the command began, or behind its end: in between it says so itself
        code = signals.code_of(stop)
    if not isinstance(code, int) or any(_is_waited_for(thread) for thread in threading.enumerate()):
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        sys.exit(code)  # the interpreter tries again, and says what it always says
    os._exit(code & 0xFF)


def stays() -> None:
    """Look for cyclic garbage more often: a server goes on, and what requests leave behind may hold their buffers."""
    gc.set_threshold(_GARBAGE_OF_SERVERS, 10, 10)


def load_msgspec() -> None:
    """Import msgspec without typing_extensions, which it would ask first for what `typing` has, at a price of 8 ms.

    For the main thread of a program, before there are others; what imports typing_extensions later finds it.
    """
    name = "typing_extensions"
    if name in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # how the importer is told that there is none
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules[name]


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()
