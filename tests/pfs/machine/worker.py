"""Another process that works on the same store: it does what comes by its stdin and answers by its stdout."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from pfs.errors import PfsError
from tests.pfs.machine.driver import Driver, call

ROOT = Path(__file__).parents[3]


class Worker:
    """The near end: does operations in a process of its own, as `call` does here."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.pfs.machine.worker"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def call(self, home: str, verb: str, *words: object) -> object:
        """Do one operation on the store at ``home``; raises what it raised there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin, (home, verb, words))
        answer = pickle.load(self._process.stdout)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        assert self._process.returncode == 0


def _send(stream: BinaryIO, value: object) -> None:
    pickle.dump(value, stream)
    stream.flush()


def main() -> None:
    """Serve until stdin ends."""
    drivers: dict[str, Driver] = {}
    while sys.stdin.buffer.peek(1):
        home, verb, words = pickle.load(sys.stdin.buffer)
        try:
            answer = call(drivers.setdefault(home, Driver(home)), verb, *words)
        except PfsError as error:
            answer = error
        _send(sys.stdout.buffer, answer)
    for driver in drivers.values():
        driver.close()


if __name__ == "__main__":
    main()
