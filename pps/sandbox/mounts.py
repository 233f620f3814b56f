"""The mounts that make /pfs and a private /tmp, as the spawner and its children do them.

Two steps. `build_root`, once in a spawner: its own mount (and, without root, user) namespace, in which a tmpfs becomes
the root; every top-level entry of the host is bound into it, and /pfs is an empty directory there. `apply`, once a
command, in a copy of that namespace: a list of steps that the executor planned. Standard library only.

A step is a list of strings, so that it crosses the socket as JSON. Targets that do not exist are made:
``["bind", source, target]``, ``["ro", source, target]`` (read-only), ``["overlay", lower, upper, work, target]``,
``["tree", source, target]`` (bind with all that was mounted below), ``["proc"]``, and ``["files", target, name, base64,
…]``: files in memory, read-only, which nothing outside ever sees. ``["private", source, target]`` covers a directory
that may not be there with another; ``["mirror", source, target, name, …]`` also shows in it what the target had, but
for these names and those that the source has.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from pps.sandbox import syscalls

PFS = "/pfs"
_TMP = "/tmp"


def unshare_mounts(*, user: bool) -> None:
    """Move this process to a mount namespace of its own; ``user``: and to a user namespace in which it may mount.

    Mounts of the host still arrive (slave), none of ours go back. The own uid and gid stay what they are.
    """
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWUSER if user else 0))
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)


def build_root(anchor: str) -> None:
    """Make a new root on the empty directory ``anchor`` and enter it; nothing of it shows on the host.

    The new root is read-only itself, what is bound into it is as it was. A /pfs of the host is hidden.
    """
    syscalls.mount("pfs", anchor, fs="tmpfs", flags=syscalls.MS_NOSUID | syscalls.MS_NODEV, options="mode=755")
    # The anchor lies below one of the entries to bind; unbindable keeps the new root from being bound into itself.
    syscalls.mount("", anchor, flags=syscalls.MS_UNBINDABLE)
    for entry in list(os.scandir("/")):
        if entry.name != PFS[1:]:
            # What this user may not even look at (a stranger's FUSE mount, say) is missing inside too.
            with suppress(OSError):
                _show(entry, os.path.join(anchor, entry.name))
    os.mkdir(anchor + PFS)
    syscalls.make_read_only(anchor)
    syscalls.enter_root(anchor)


def _show(entry: os.DirEntry[str], target: str) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(target)
        syscalls.bind(entry.path, target)
    elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        syscalls.bind(entry.path, target, recursive=False)


def apply(steps: Sequence[Sequence[str]]) -> None:
    """Do the steps in order, in the mount namespace of this process alone.

    Raises:
        OSError: the first step that failed; the namespace is then of no use.
    """
    for step in steps:
        match step:
            case ["bind", source, target]:
                _make_place(source, target)
                syscalls.bind(source, target, recursive=False)
            case ["tree", source, target]:
                syscalls.bind(source, target)
            case ["ro", source, target]:
                _make_place(source, target)
                # Recursive: a system may hold a directory that has mounts below it to be one piece.
                syscalls.bind(source, target)
                syscalls.make_read_only(target)
            case ["overlay", lower, upper, work, target]:
                os.makedirs(target, exist_ok=True)
                _overlay(lower, upper, work, target=target)
            case ["proc"]:
                flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
                syscalls.mount("proc", "/proc", fs="proc", flags=flags)
            case ["files", target, *pairs]:
                _files(target, pairs)
            case ["private", source, target]:
                _make_folder(target)
                syscalls.bind(source, target, recursive=False)
            case ["mirror", source, target, *hidden]:
                _mirror_into(source, target, hidden)
            case _:
                raise OSError(0, f"unknown step {step}")


def _make_place(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def _files(target: str, pairs: Sequence[str]) -> None:
    """Put files into a file system of their own at ``target``; ``pairs``: name and base64 of each."""
    from base64 import b64decode

    target = os.path.realpath(target)
    _make_folder(target)
    syscalls.mount("files", target, fs="tmpfs", flags=syscalls.MS_NOSUID | syscalls.MS_NODEV, options="mode=755")
    for name, text in zip(pairs[::2], pairs[1::2], strict=True):
        fd = os.open(os.path.join(target, name), os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444)
        with open(fd, "wb") as file:
            file.write(b64decode(text))
    syscalls.make_read_only(target)


def _make_folder(target: str) -> None:
    """Make a directory that this command alone sees, but for an empty one in the root, which commands share."""
    if os.path.isdir(target):
        return
    place = os.path.dirname(target)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    if place == "/":
        syscalls.make_writable("/")
        os.makedirs(target, exist_ok=True)
        syscalls.make_read_only("/")
    elif place == _TMP or place.startswith(_TMP + "/"):
        os.makedirs(target, exist_ok=True)
    else:
        _mirror(place)
        os.makedirs(target)
        syscalls.make_read_only(place)


def _mirror(place: str) -> None:
    """Put a directory of our own in the place of one of the host, with each entry of that bound into it.

    While it is made, the working directory is the one that it hides.
    """
    mode = stat.S_IMODE(os.stat(place).st_mode)
    os.chdir(place)
    syscalls.mount("pfs", place, fs="tmpfs", flags=syscalls.MS_NOSUID | syscalls.MS_NODEV, options=f"mode={mode:o}")
    for entry in list(os.scandir(".")):
        with suppress(OSError):
            _show(entry, os.path.join(place, entry.name))
    os.chdir("/")


def _mirror_into(source: str, target: str, hidden: Sequence[str]) -> None:
    """Put ``source`` in the place of a directory, with the entries of that bound into it, mounts in them included."""
    os.chdir(target)
    syscalls.bind(source, target, recursive=False)
    left_out = {*hidden, *os.listdir(target)}
    for entry in list(os.scandir(".")):
        if entry.name not in left_out:
            with suppress(OSError):
                _show(entry, os.path.join(target, entry.name))
    os.chdir("/")


def _overlay(lower: str, upper: str, work: str, *, target: str) -> None:
    if any(char in path for path in (lower, upper, work) for char in ",:\\"):
        raise OSError(0, f"overlay: ',', ':' and '\\' cannot be in the path {lower}")
    # userxattr: without it a user namespace may not mark what was removed; harmless for root. index=off: the namespace
    # of the datum before may still be on its way out with the same directories, which an index would take for busy.
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr,index=off"
    syscalls.mount("overlay", target, fs="overlay", options=options)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
