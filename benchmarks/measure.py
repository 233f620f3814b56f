"""What a command costs with all processes that it starts: wall and CPU seconds and the peak of its memory.

CPU comes from the kernel at the end. Memory is summed up over the processes 40 times a second out of /proc, where the
kernel also says how much each had at most, so a peak of a few milliseconds is missed only where several processes make
it together. Not ru_maxrss: that begins with the memory of the process that started the command.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_FIRST_S, _PERIOD_S = 0.001, 0.025


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command; memory in MiB. ``peak_mib`` has the pages of mapped files in it, ``anon_mib`` has not."""

    seconds: float
    cpu_s: float
    peak_mib: float
    anon_mib: float


class CommandFailedError(RuntimeError):
    """A command ended with a code other than 0."""


def measure(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end in a cold process and return what it took.

    Raises:
        CommandFailedError: with the last line that it said.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        said: list[bytes] = []
        reader = threading.Thread(target=_read, args=(process, said))
        watch = Watch(process.pid)
        reader.start()
        watch.start()
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        reader.join()
    if process.returncode:
        lines = b"".join(said).decode(errors="replace").strip().splitlines()
        raise CommandFailedError(f"{' '.join(argv)[:200]} ended with {process.returncode}: {lines[-1:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, watch.peak_kib / 1024, watch.anon_kib / 1024)


def _read(process: subprocess.Popen[bytes], said: list[bytes]) -> None:
    assert process.stderr is not None
    said.append(process.stderr.read()[-4096:])


class Watch(threading.Thread):
    """Follows the memory of a process and all below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_kib = self.anon_kib = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        self.look()
        period = _FIRST_S
        while not self._ended.wait(period):
            self.look()
            period = min(period * 2, _PERIOD_S)

    def look(self) -> None:
        """Take the memory of now."""
        sizes = [_memory_kib(pid) for pid in _tree(self._pid)]
        together, anon = sum(one.rss for one in sizes), sum(one.anon for one in sizes)
        self.peak_kib = max(self.peak_kib, together, *(one.peak for one in sizes))
        self.anon_kib = max(self.anon_kib, anon)

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                found += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return found


class _Memory(NamedTuple):
    rss: int = 0
    peak: int = 0
    anon: int = 0


def _memory_kib(pid: int) -> _Memory:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return _Memory()
    fields = {name: text.split() for name, _, text in (line.partition(":") for line in lines)}
    rss, peak, anon = (int(fields.get(name, ["0"])[0]) for name in ("VmRSS", "VmHWM", "RssAnon"))
    return _Memory(rss, peak, anon)
