"""Real processes of the programs, for what only a process can show: signals, kill -9, limits, two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


def environment(store: Path) -> dict[str, str]:
    """Return the environment of a user in front of ``store``."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PFS_"))}
    return {**kept, "PATH": path, "PFS_STORE": str(store)}


def start(
    store: Path, *words: object, stdout: int = subprocess.PIPE, stdin: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a program; its stderr is captured."""
    line = [str(BIN / str(words[0])), *map(str, words[1:])]
    return subprocess.Popen(line, env=environment(store), cwd=store, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)


def run(store: Path, *words: object, code: int = 0) -> str:
    """Run a program to its end and return its stdout."""
    process = start(store, *words)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, (words, process.returncode, out[-500:], err.decode()[-2000:])
    return out.decode()


def kill_after(process: subprocess.Popen[bytes], delay_s: float, number: signal.Signals = signal.SIGKILL) -> bytes:
    """Signal a process when ``delay_s`` have gone by, unless it ends before; return what it had printed."""
    with suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=delay_s)[0]
    process.send_signal(number)
    return process.communicate()[0]


@dataclass(frozen=True, slots=True)
class Served:
    """A running `pfs serve`."""

    process: subprocess.Popen[bytes]
    url: str
    access_key: str
    secret_key: str


@contextmanager
def serving(store: Path, *options: str) -> Iterator[Served]:
    """Run `pfs serve` on a free port; it is killed at the end if it still runs."""
    answer = json.loads(run(store, "pfs", "credentials", "--json"))
    process = start(store, "pfs", "serve", "--port", "0", *options)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[3]
        yield Served(process, url, answer["access_key"], answer["secret_key"])
    finally:
        process.kill()
        process.communicate()


def ids(store: Path, address: str) -> Sequence[str]:
    """Return the ids of the commits of a repo or branch, newest first."""
    return [record["id"] for record in json.loads(run(store, "pfs", "list-commit", address, "--json"))]
