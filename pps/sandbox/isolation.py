"""How commands come to see /pfs on this machine: what was found, and the choice among it.

Namespaces keep paths apart, not people: the command runs as the user who started pps and may do what that user may.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from pfs.errors import FailedError, InvalidInputError
from pps.sandbox import container, syscalls
from pps.sandbox.spawner import Mode, Spawner

Kind = Literal["namespace", "container", "none"]
Wanted = Literal["auto", "namespace", "container", "none"]


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a command gets. ``detail`` is one line for people: how it is made, or why there is no more.

    ``overlay``: inputs are writable and what is written is dropped; without, they are read-only (and with kind
    ``none`` private copies). ``pid_namespace``: the kernel ends what a command started; without, pps looks for it.
    """

    kind: Kind
    detail: str
    overlay: bool = False
    pid_namespace: bool = False


class IsolationUnavailableError(FailedError):
    """The isolation that was asked for is not to be had here: ``(wanted, reason)``."""

    kind = "isolation-unavailable"

    def __init__(self, wanted: str, reason: str) -> None:
        super().__init__(wanted, reason)
        self.wanted, self.reason = wanted, reason

    def __str__(self) -> str:
        return f"isolation {self.wanted!r} cannot be used here: {self.reason}; --isolation auto takes the best there is"


def probe(work_dir: Path) -> Isolation:
    """Return what ``auto`` takes for a spec without an image; makes real mounts, in about 0.1 s.

    ``work_dir`` is where the executor would work: an overlay may be possible on one file system and not on another.
    """
    isolation, spawner = choose("auto", work_dir)
    spawner.close()
    return isolation


def choose(wanted: str, work_dir: Path) -> tuple[Isolation, Spawner]:
    """Return the isolation to use and a spawner that was started for it; the caller closes it.

    ``auto`` takes namespaces where they work, else ``none``. A container is for pipelines whose spec names an image:
    with ``container`` all of them must.

    Raises:
        InvalidInputError: ``wanted`` is none of the four words.
        IsolationUnavailableError: what was asked for does not work here.
    """
    if wanted not in get_args(Wanted):
        raise InvalidInputError(f"unknown isolation {wanted!r}: use one of {', '.join(get_args(Wanted))}")
    if wanted == "container":
        engine = container.find_engine()
        if engine is None:
            raise IsolationUnavailableError(wanted, "neither docker nor podman answers")
        return Isolation("container", f"{engine} runs the image that the spec names"), _plain(work_dir)
    if wanted == "none":
        return Isolation("none", "as asked for: relative pfs/, no private /tmp"), _plain(work_dir)
    found, reason = _namespaces(work_dir)
    if found is not None:
        return found
    if wanted == "namespace":
        raise IsolationUnavailableError(wanted, reason)
    return Isolation("none", f"no namespaces ({reason}): relative pfs/ and the variables PFS and PFS_OUT"), _plain(
        work_dir
    )


def _namespaces(work_dir: Path) -> tuple[tuple[Isolation, Spawner] | None, str]:
    if not syscalls.available():
        return None, "this system has no mount namespaces"
    modes: list[Mode] = ["mount", "user"] if os.geteuid() == 0 else ["user"]
    reason = ""
    for mode in modes:
        spawner = Spawner(mode, work_dir / "sandbox")
        hello = spawner.hello()
        if not hello["error"]:
            return (_describe(spawner), spawner), ""
        spawner.close()
        reason = hello["error"]
    return None, reason


def _describe(spawner: Spawner) -> Isolation:
    hello = spawner.hello()
    parts = ["mount namespace" if spawner.mode == "mount" else "user and mount namespace"]
    parts.append("PID namespace" if hello["own_pids"] else f"no PID namespace ({hello['own_pids_error']})")
    parts.append(
        "inputs writable by overlay" if hello["overlay"] else f"inputs read-only, no overlay ({hello['overlay_error']})"
    )
    isolation = Isolation("namespace", ", ".join(parts))
    return replace(isolation, overlay=hello["overlay"], pid_namespace=hello["own_pids"])


def _plain(work_dir: Path) -> Spawner:
    return Spawner("none", work_dir / "sandbox")
