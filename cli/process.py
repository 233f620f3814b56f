"""A process that runs one command: collects little garbage, and ends at once (docs/design/startup.md)."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn

_GARBAGE: Final = 20_000
"""Objects made, beyond those freed, between looks for cycles: importing makes no garbage and many objects."""


def run_process(body: Callable[[], NoReturn]) -> NoReturn:
    """Run ``body``, which ends by `sys.exit`, and end the process with its code.

    When that is all that runs, the interpreter is not taken apart piece by piece, which takes as long as a small
    command itself: what was opened is closed, since commands close what they open, output is flushed, and handlers
    of `atexit` run as ever. With other threads that are to be waited for, the interpreter does it all.
    """
    gc.set_threshold(_GARBAGE, 10, 10)
    try:
        body()
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
        if not isinstance(code, int) or any(_is_waited_for(thread) for thread in threading.enumerate()):
            raise
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        sys.exit(code)  # the interpreter tries again, and says what it always says
    os._exit(code & 0xFF)


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()
