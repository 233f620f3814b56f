"""CPU seconds of a process with all that it ever starts, also of what nobody waits for: by a cgroup of its own.

Only where one can be made, which takes root or a delegated group; elsewhere nothing is counted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class CpuCount:
    """Counts from `start` on, for this process and those that it starts then; `close` gives the group back."""

    def __init__(self) -> None:
        self._group: Path | None = None
        self._before: Path | None = None

    def start(self) -> None:
        """Move this process to a group of its own."""
        for home in _homes():
            group = home / f"pfs-bench-{os.getpid()}"
            with suppress(OSError):
                group.mkdir()
                (group / "cgroup.procs").write_text(str(os.getpid()))
                self._group, self._before = group, home
                return

    @property
    def seconds(self) -> float | None:
        """CPU seconds so far, None where they cannot be counted."""
        if self._group is None:
            return None
        old = self._group / "cpuacct.usage"
        if old.exists():
            return int(old.read_text()) / 1e9
        fields = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6

    def close(self) -> None:
        """Go back to where this process was, and remove the group if it is empty."""
        if self._group is None or self._before is None:
            return
        with suppress(OSError):
            (self._before / "cgroup.procs").write_text(str(os.getpid()))
            self._group.rmdir()


def _homes() -> list[Path]:
    """Return the group of this process that counts CPU time: of cgroups version 1, or of the one hierarchy of 2."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            found.append(_ROOT / "cpuacct" / path.lstrip("/"))
        elif not controllers and (_ROOT / "cgroup.controllers").exists():
            found.append(_ROOT / path.lstrip("/"))
    return found
