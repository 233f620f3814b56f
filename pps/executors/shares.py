"""What a machine has for commands, and who has which share of it."""

from __future__ import annotations

import math
import os
import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pps.executor import Capacity
from pps.spec.types import Resources


def machine(slots: int, work_dir: Path, gpus: Sequence[str]) -> Capacity:
    """Return what this machine has, or the container that this runs in; sizes in bytes."""
    most_cpu, most_memory = group_limits(Path("/sys/fs/cgroup"))
    memory = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), most_memory)
    cpu = min(float(len(cpus())), most_cpu)
    return Capacity(slots, cpu=cpu, memory=memory, disk=shutil.disk_usage(work_dir).free, gpus=len(gpus))


def group_limits(folder: Path) -> tuple[float, int]:
    """Return the most processors and bytes of memory by ``folder``, a control group (v2) or what is mounted there."""
    cpu, memory = math.inf, sys.maxsize
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        cpu = int(quota) / int(period)
    with suppress(OSError, ValueError):
        memory = int((folder / "memory.max").read_text())
    return cpu, memory


def cpus() -> list[int]:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class Shares:
    """Gives out shares of the machine, first come first served: no large request waits for ever. Thread-safe."""

    def __init__(self, capacity: Capacity, gpus: Sequence[str]) -> None:
        self._capacity = capacity
        self._free_cpu, self._free_memory = capacity.cpu, capacity.memory
        self._free_gpus = list(gpus)
        self._gpus = len(gpus)
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, wanted: Resources, *, cancelled: Callable[[], bool]) -> Iterator[tuple[str, ...]]:
        """Wait for a share and hold it; yields the ids of its GPUs. ``cancelled`` is asked at `wake`: wait no more.

        What the machine does not have at all is not waited for: who submits asks `Capacity.lacks` first.
        """
        if not wanted:
            yield ()
            return
        cpu, memory = min(wanted.cpu, self._capacity.cpu), min(wanted.memory, self._capacity.memory)
        count = min(wanted.gpus, self._gpus)
        turn = object()
        with self._condition:
            self._waiting.append(turn)
            self._condition.wait_for(
                lambda: cancelled() or (self._waiting[0] is turn and self._fits(cpu, memory, count))
            )
            self._waiting.remove(turn)
            self._free_cpu -= cpu
            self._free_memory -= memory
            given, self._free_gpus = tuple(self._free_gpus[:count]), self._free_gpus[count:]
            self._condition.notify_all()
        try:
            yield given
        finally:
            with self._condition:
                self._free_cpu += cpu
                self._free_memory += memory
                self._free_gpus += given
                self._condition.notify_all()

    def wake(self) -> None:
        """Let those who wait ask whether they are cancelled."""
        with self._condition:
            self._condition.notify_all()

    def _fits(self, cpu: float, memory: int, gpus: int) -> bool:
        # Shares such as 0.1 do not add up exactly.
        return self._free_cpu - cpu > -1e-6 and self._free_memory >= memory and len(self._free_gpus) >= gpus


class CpuRota:
    """Which processors a command with a limit runs on: each the next ones in turn. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0

    def take(self, count: int) -> tuple[int, ...]:
        """Return ``count`` processors, none if that is all there are."""
        found = cpus()
        if not 0 < count < len(found):
            return ()
        with self._lock:
            start, self._next = self._next, self._next + count
        return tuple(found[(start + step) % len(found)] for step in range(count))
