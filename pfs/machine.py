"""Which machine a process is on, for others to tell whether it is still there."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from typing import Final

_MARK: Final = "~"


@cache
def this_machine() -> str:
    """Return the host's name with a mark of the running system: machines may have one name, as clones of an image."""
    return f"{os.uname().nodename}{_MARK}{_system()}"


def host_of(machine: str) -> str:
    """Return the host's name in what `this_machine` returned somewhere."""
    return machine.partition(_MARK)[0]


def is_gone(machine: str, pid: int) -> bool:
    """Say whether a process surely ended: it was of this very system, where no process has that number."""
    if machine != this_machine() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _system() -> str:
    """Return what differs between boots, and between containers, whose processes have numbers of their own."""
    boot, space = "", 0
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read(8)
    with suppress(OSError):
        space = os.stat("/proc/self/ns/pid").st_ino
    return f"{boot}{space & 0xFFFF:x}"
