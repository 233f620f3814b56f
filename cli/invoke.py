"""What is around every command: streams that end well, secrets taken from the environment, errors as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from cli import exits, stdio, unlocking


def invoke(program: str, body: Callable[[], object], *, reads: bool) -> NoReturn:
    """Run ``body`` and exit with the documented code, every error having become one line; ``reads`` as in `guard`."""
    stdio.prepare()

    def guarded() -> object:
        with unlocking.variables_taken():
            return body()

    sys.exit(exits.guard(program, guarded, reads=reads))
