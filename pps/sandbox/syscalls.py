"""The few Linux calls that Python 3.11 does not wrap, by ctypes.

Imported by the spawner, which must stay small and single-threaded: standard library only, and libc is opened on
first use. Every call raises OSError with the target's name; what it means is for the caller.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import cache
from typing import NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
MNT_DETACH = 0x2

_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
# By number: DAC_READ_SEARCH, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, MAC_OVERRIDE,
# MAC_ADMIN, SYSLOG, PERFMON, BPF, CHECKPOINT_RESTORE.
_NOT_FOR_COMMANDS = (2, 12, 16, 17, 19, 21, 22, 25, 32, 33, 34, 38, 39, 40)
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203}
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "ppc64le": 120}
# statvfs reports these by other bits than mount() takes.
_KEPT_FLAGS = (
    (os.ST_NOSUID, MS_NOSUID),
    (getattr(os, "ST_NODEV", 4), MS_NODEV),
    (getattr(os, "ST_NOEXEC", 8), MS_NOEXEC),
    (getattr(os, "ST_NOATIME", 1024), MS_NOATIME),
    (getattr(os, "ST_NODIRATIME", 2048), MS_NODIRATIME),
    (getattr(os, "ST_RELATIME", 4096), MS_RELATIME),
)


def available() -> bool:
    """Say whether this system has these calls at all."""
    return sys.platform == "linux" and os.uname().machine in _SYS_PIVOT_ROOT


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _fail(call: str, name: str = "") -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}", name or None)


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` (CLONE_NEW*) name, for new ones."""
    if _libc().unshare(ctypes.c_int(flags)) != 0:
        _fail("unshare")


def setns(fd: int, flags: int) -> None:
    """Enter the namespace that ``fd`` (from /proc/self/ns) stands for."""
    if _libc().setns(ctypes.c_int(fd), ctypes.c_int(flags)) != 0:
        _fail("setns")


def mount(source: str, target: str, *, fs: str = "", flags: int = 0, options: str = "") -> None:
    """Attach a file system; empty strings for what the flags do not need."""
    result = _libc().mount(
        os.fsencode(source),
        os.fsencode(target),
        fs.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(options) or None,
    )
    if result != 0:
        _fail(f"mount {fs or 'bind'}", target)


def bind(source: str, target: str, *, recursive: bool = True) -> None:
    """Make ``source`` visible at ``target``, which exists and is of the same kind."""
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))


def make_read_only(target: str) -> None:
    """Make the mount at ``target`` (not those below it) read-only.

    The flags that the mount has are named again: a user namespace may not clear them.
    """
    mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _kept(target))


def make_writable(target: str) -> None:
    """Take back what `make_read_only` did, in the mount namespace of this process alone."""
    mount("", target, flags=MS_REMOUNT | MS_BIND | _kept(target))


def _kept(target: str) -> int:
    present = os.statvfs(target).f_flag
    return sum(theirs for ours, theirs in _KEPT_FLAGS if present & ours)


def enter_root(directory: str) -> None:
    """Make the mount at ``directory`` the root of this mount namespace and let the old root go."""
    os.chdir(directory)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    if _libc().syscall(ctypes.c_long(number), b".", b".") != 0:
        _fail("pivot_root", directory)
    # Old and new root are now stacked at the same place; the old one is on top.
    if _libc().umount2(b".", ctypes.c_int(MNT_DETACH)) != 0:
        _fail("umount", "old root")
    os.chdir("/")


def guard() -> None:
    """Keep what this process starts from taking hold of it: for the spawner, and so for the inits that it forks.

    What is executed from here on has no rights over the system (mounts, ptrace of others, modules …), even as root:
    they leave the bounding set, while this process keeps them. And nobody may ptrace it who has less than it has.
    Where this is not allowed there is nothing to give away.
    """
    libc = _libc()
    for capability in _NOT_FOR_COMMANDS:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process; False where the system has no such thing."""
    if sys.platform != "linux":
        return False
    return bool(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def clone(flags: int) -> int:
    """Fork into the new namespaces of ``flags`` at once; returns 0 in the child, its pid in the parent.

    unshare(CLONE_NEWPID) would do, but works once in a process and without root cannot be taken back. Only for a
    process with a single thread: Python's and libc's own fork handlers do not run.
    """
    ctypes.set_errno(0)
    pid = _libc().syscall(
        ctypes.c_long(_SYS_CLONE[os.uname().machine]), ctypes.c_ulong(flags | signal.SIGCHLD), 0, 0, 0, 0
    )
    if pid < 0:
        _fail("clone")
    return int(pid)
