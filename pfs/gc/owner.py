"""Who collects: one collector at a time, by compare-and-swap of the state of collection.

An owner that stops renewing is taken over from; whatever it still does then fails at its next swap, or deletes only
what its published list names and its re-mark found dead, which stays dead.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import ConflictError, PfsError
from pfs.ids import Etag
from pfs.machine import host_of, is_gone, this_machine
from pfs.refs import collection
from pfs.refs.collection import Collection

TTL_NS: Final = 600 * 1_000_000_000
"""How long an owner that does not renew keeps others away."""
_RENEW_NS: Final = TTL_NS // 5


class Ownership:
    """The right to collect, taken by `take`. One thread."""

    def __init__(
        self,
        backend: Backend,
        owned: tuple[Collection, Etag],
        *,
        clock_ns: Callable[[], int],
        alive: Callable[[], None],
    ) -> None:
        self._backend, self._clock_ns, self._alive = backend, clock_ns, alive
        self.state, self._etag = owned
        self._name = self.state.owner

    @property
    def sid(self) -> str:
        """Names this collector's list."""
        return self._name.rpartition(":")[2]

    def keep(self) -> None:
        """Renew it where it is time; called often.

        Raises:
            BranchMovedError: another collector took over.
            StorageError: it could not be renewed.
        """
        self._alive()
        if self._clock_ns() + TTL_NS - _RENEW_NS >= self.state.expires_ns:
            self._swap(self.state)

    def publish(self, name: str) -> None:
        """Publish the next generation, whose list is the object ``name``; raises as `keep`."""
        self._swap(collection.published(self.state, name))

    def mark(self) -> None:
        """Begin to mark, once what was published has ended; raises as `keep`."""
        self._swap(replace(self.state, phase="mark", owner=self._name))

    def finish(self) -> None:
        """End the generation, and the ownership; raises as `keep`."""
        self._swap(replace(self.state, phase="idle", owner=""))

    def give_up(self) -> None:
        """Let others collect at once, as far as that can be said; a published generation stays so for the next one."""
        expired = replace(self.state, phase="idle" if self.state.phase == "mark" else self.state.phase, owner="")
        with suppress(PfsError):
            self._swap(expired, ttl_ns=0)

    def _swap(self, new: Collection, *, ttl_ns: int = TTL_NS) -> None:
        new = replace(new, expires_ns=self._clock_ns() + ttl_ns)
        self._etag = collection.swap(self._backend, self._etag, new)
        self.state = new


def take(
    backend: Backend, *, clock_ns: Callable[[], int], alone_here: bool, alive: Callable[[], None] = lambda: None
) -> Ownership:
    """Become the owner; the state is then ``published``, where a generation is to be ended, else ``mark``.

    ``alone_here``: the caller holds what keeps all other collectors of this machine away, so that an owner of this
    machine is dead; else its process is asked for. ``alive`` is called whenever the ownership is kept up, and may raise
    to end the collection.

    Raises:
        ConflictError: another collector is at work.
        CorruptionError: the state of collection is damaged.
    """
    state, etag = collection.read(backend)
    dead = not state.owner or state.expires_ns <= clock_ns() or _is_dead(state.owner, alone_here=alone_here)
    if state.phase != "idle" and not dead:
        machine, _, process = state.owner.rpartition(":")[0].rpartition(":")
        where = f"process {process} on {host_of(machine)}"
        raise ConflictError(f"another collection is at work ({where}): wait until it is done")
    phase = state.phase if state.phase == "published" else "mark"
    name = f"{this_machine()}:{os.getpid()}:{uuid.uuid4().hex}"
    new = replace(state, phase=phase, owner=name, expires_ns=clock_ns() + TTL_NS)
    return Ownership(backend, (new, collection.swap(backend, etag, new)), clock_ns=clock_ns, alive=alive)


def _is_dead(owner: str, *, alone_here: bool) -> bool:
    machine, _, rest = owner.partition(":")
    if alone_here:
        return host_of(machine) == host_of(this_machine())
    process = rest.partition(":")[0]
    return process.isdigit() and is_gone(machine, int(process))
