"""What `pfs doctor` finds out: one finding a check, with what to do about a shortfall in its detail."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import Json, Record, human_size, human_time, timestamp
from pfs.errors import FailedError, PfsError, StoreNotFoundError

if TYPE_CHECKING:
    from pfs.store import Store

_LOW_SPACE = 1 << 30


def finding(name: str, state: str, detail: str) -> Record:
    """Return one finding; ``state`` is good, fair (works, but not at its best), bad or none."""
    return {"name": name, "state": state, "detail": detail}


def diagnose(location: str | None) -> list[Record]:
    """Return all findings; a check that fails is a finding and ends nothing."""
    checks: list[tuple[str, Callable[[], Iterator[Record]]]] = [
        ("python", _python),
        ("chunker", _chunker),
        ("isolation", _isolation),
        ("resources", _resources),
        ("mount", _mount),
        ("store", lambda: _store(location)),
    ]
    found: list[Record] = []
    for name, check in checks:
        try:
            found += check()
        except (PfsError, OSError) as error:
            found.append(finding(name, "bad", str(error)))
    return found


def _python() -> Iterator[Record]:
    yield finding("python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _chunker() -> Iterator[Record]:
    from pfs.chunker import kernel

    name = kernel().name
    if name == "numpy":
        advice = "numpy kernel: right but slower; install a C compiler and install pfs again for the native one"
        yield finding("chunker", "fair", advice)
    else:
        yield finding("chunker", "good", f"{name} kernel")


def _isolation() -> Iterator[Record]:
    from pps.sandbox.isolation import probe

    with tempfile.TemporaryDirectory(prefix="pfs-doctor-") as scratch:
        isolation = probe(Path(scratch))
    full = isolation.kind == "namespace" and isolation.overlay and isolation.pid_namespace
    yield finding("isolation", "good" if full else "fair", f"{isolation.kind}: {isolation.detail}")


def _resources() -> Iterator[Record]:
    from pps.executors.shares import machine

    with tempfile.TemporaryDirectory(prefix="pfs-doctor-") as scratch:
        here = machine(1, Path(scratch), ())
    there = f"{here.cpu:g} CPUs, {human_size(here.memory)} of memory to be requested"
    if not os.path.isdir("/proc/self"):
        yield finding("resources", "fair", f"{there}; memory limits are not kept: there is no /proc")
        return
    kept = "memory and disk by looking (20 and 4 times a second) and killing, cpu by the choice of processors"
    yield finding("resources", "good", f"{there}; limits are kept: {kept}; those of containers by the engine")


def _mount() -> Iterator[Record]:
    from cli.mounting import check_fuse

    try:
        check_fuse()
    except FailedError as error:
        yield finding("mount", "none", str(error))
    else:
        yield finding("mount", "good", "FUSE is here: `pfs mount DIR` shows the store as a folder")


def _collection(store: Store) -> Record:
    from pfs.gc.due import when_due

    due = when_due(store)
    if due.reason is not None:
        return finding("collection", "fair", f"due, as {due.reason}: run `pfs gc`; `pfs serve` does it by itself")
    if due.waits_until_ns is not None:
        when = human_time(timestamp(due.waits_until_ns))
        return finding("collection", "good", f"packs are condemned, and go with the first collection after {when}")
    last = "" if due.last is None else f"; the last one was at {human_time(timestamp(due.last.at_ns))}"
    return finding("collection", "good", f"nothing to free yet{last}")


def _tiers(store: Store) -> Iterator[Record]:
    """Say what is in other storage classes, if anything is or shall be."""
    from pfs.refs.tiering import read_rule

    if store.backend.parallel == 1:
        return
    sizes: dict[str, int] = {}
    for entry in store.backend.entries("packs/d/"):
        if entry.storage_class:
            sizes[entry.storage_class] = sizes.get(entry.storage_class, 0) + entry.size
    rule = read_rule(store.backend)
    if sizes or rule.on:
        there = ", ".join(f"{human_size(size)} in {name}" for name, size in sorted(sizes.items())) or "all in STANDARD"
        moves = f"`pfs serve` moves old data to {rule.storage_class}" if rule.on else "nothing is moved by itself"
        yield finding("storage classes", "good", f"{there}; {moves}")


def _uploads(store: Store) -> Iterator[Record]:
    """Say which multipart uploads of S3 clients nobody completed or aborted, if any."""
    from pfs.gc.uploads import open_uploads

    found = open_uploads(store.backend)
    if found.number:
        since = human_time(timestamp(found.oldest_ns))
        what = f"{found.number} not completed, the oldest since {since}; collection drops what is 7 days old"
        yield finding("uploads", "good", what)


def _store(location: str | None) -> Iterator[Record]:
    from cli.unlocking import unlock
    from pfs.store import locate, open

    try:
        path = locate(location)
    except StoreNotFoundError as error:
        yield finding("store", "none", str(error))
        return
    with open(path, unlock=unlock) as store:
        where = f"{path}, objects at {store.backend.location}" if store.backend.parallel > 1 else path
        sealed = "" if store.config.encryption is None else ", encrypted"
        yield finding(
            "store", "good", f"{where}, {len(store.list_repos())} repos, format {store.config.format}{sealed}"
        )
        yield _collection(store)
        yield from _tiers(store)
        yield from _uploads(store)
        elsewhere = sealed_elsewhere(store)
    free = shutil.disk_usage(path).free
    low = free < _LOW_SPACE
    yield finding("disk", "bad" if low else "good", f"{human_size(free)} free" + (": free some space" if low else ""))
    key = path / "root-key"
    private = not os.stat(key).st_mode & 0o077
    yield finding(
        "root key",
        "good" if private else "bad",
        "readable by its owner alone" if private else f"others can read {key}: run `chmod 600 {key}`",
    )
    if elsewhere:
        advice = f"copy the file from the machine that made them to {key}, or make them again"
        yield finding("root key", "fair", f"{', '.join(map(str, elsewhere))}: of another root key; {advice}")


def sealed_elsewhere(store: Store) -> list[Json]:
    """Return what cannot be opened with the root key of this machine, as ``secret NAME`` and ``S3 key NAME``."""
    from pfs.keys import Keys
    from pps.secret_store import Secrets

    secrets: list[Json] = [f"secret {name}" for name in Secrets(store).unreadable()]
    return secrets + [f"S3 key {name}" for name in Keys(store).unreadable()]
