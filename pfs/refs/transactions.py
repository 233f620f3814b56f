"""The object of a transaction: its draft, and the point at which it is committed (docs/format/transaction.md).

``txn/<id>.json`` is replaced by compare-and-swap. While it is open, operations are added. To publish, its owner makes
it pending under the next attempt number, prepares an entry in the refs of each repo, and makes it committed: that swap
is the commit point of everything. Once expired, anybody may abort an attempt; the number of an aborted one is never
used again, so an entry of it never counts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    CorruptionError,
    InvalidInputError,
    StorageError,
    StorageFullError,
)
from pfs.ids import CommitId, Etag, is_commit_id
from pfs.refs.signed import sign_body, unsign_body
from pfs.structs import ready
from pfs.texts import encoded

PREFIX = "txn/"
VERSION = 1
RECENT = 8
RESENDS = 3
LEASE_NS = 30_000_000_000
"""How long an attempt is its owner's alone after each sign of life."""
_POLL_S = 0.02

State = Literal["open", "pending", "committed", "dropped"]
Verdict = Literal["pending", "committed", "aborted", "missing"]


class TransactionBody(msgspec.Struct, frozen=True, kw_only=True):
    """``attempt``: the number of the last one; all before it were aborted, and it too unless pending or committed.

    ``repos``: what the attempt changes, in the order of names. ``expires``: ns since 1970, by the owner's clock.
    ``kept``: a draft that stays when an attempt fails; else it belongs to one process and ends with it.
    """

    v: int = VERSION
    id: CommitId
    wid: str = ""
    recent: tuple[str, ...] = ()
    state: State = "open"
    attempt: int = 0
    repos: tuple[str, ...] = ()
    owner: str = ""
    expires: int = 0
    kept: bool = True
    message: str = ""
    created: int = 0
    ops: tuple[dict[str, object], ...] = ()

    @property
    def attempt_id(self) -> str:
        """What entries in refs call the present attempt."""
        return f"{self.id}-{self.attempt}"


class TransactionState(Struct, frozen=True):
    """A body as read, with the etag that a swap of it must name."""

    body: TransactionBody
    etag: Etag


def encode(body: TransactionBody) -> bytes:
    """Return the stored JSON, signed as a refs body is; raises InvalidInputError: a text in it is not valid UTF-8."""
    return sign_body(encoded(msgspec.json.encode, body))


def decode(data: bytes, *, where: str) -> TransactionBody:
    """Parse a stored body.

    Raises:
        CorruptionError: it is none, or its checksum does not match.
        InvalidInputError: it was written by a newer release.
    """
    plain = unsign_body(data, where=where)
    try:
        version = msgspec.json.decode(plain, type=dict[str, object]).get("v")
        if isinstance(version, int) and version > VERSION:
            raise InvalidInputError(f"{where} has format {version}, this pfs knows {VERSION}: use a newer pfs")
        return msgspec.json.decode(plain, type=ready(TransactionBody))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"no transaction ({error})") from error


def object_name(id: str) -> str:
    """Return the object name of a transaction."""
    return f"{PREFIX}{id}.json"


class Transactions:
    """The objects of all transactions of a store; thread-safe."""

    def __init__(
        self,
        backend: Backend,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._backend, self.clock_ns, self.pause = backend, clock_ns, pause

    def find(self, id: str) -> TransactionState | None:
        """Return a transaction as it is, or None; raises as `decode`."""
        if not is_commit_id(id):
            return None
        name = object_name(id)
        found = self._backend.read(name)
        return None if found is None else TransactionState(decode(found[0], where=name), found[1])

    def ids(self) -> Iterator[str]:
        """Yield the ids of all transactions that have an object, in their order."""
        for entry in self._backend.entries(PREFIX):
            yield entry.name.removeprefix(PREFIX).removesuffix(".json")

    def all(self) -> Iterator[TransactionState]:
        """Yield every transaction, finished ones that are not cleared away yet too, in the order of ids."""
        for id in self.ids():
            state = self.find(id)
            if state is not None:
                yield state

    def create(self, body: TransactionBody) -> TransactionState:
        """Make the object of a new transaction; raises AlreadyExistsError, StorageError."""
        try:
            return self._swap(None, body)
        except BranchMovedError as error:
            raise AlreadyExistsError("transaction", body.id) from error

    def swap(self, state: TransactionState, body: TransactionBody) -> TransactionState:
        """Replace ``state`` by ``body`` under a fresh write id; returns once it is durable.

        What is returned is another state when the reply was lost and somebody went on from there.

        Raises:
            BranchMovedError: it is another by now, or gone; nothing was changed.
            StorageError: the outcome is unknown.
        """
        recent = (*state.body.recent, state.body.wid)[-RECENT:]
        return self._swap(state.etag, replace(body, recent=recent))

    def remove(self, id: str) -> None:
        """Delete the object of a transaction that has come to its end: nothing may swap it any more."""
        self._backend.delete_many([object_name(id)])

    def verdict(self, attempt: str) -> Verdict:
        """Say what became of an attempt, by the name that entries in refs have for it."""
        id, _, number = attempt.rpartition("-")
        state = self.find(id)
        if state is None:
            return "missing"
        if state.body.attempt_id != f"{id}-{number}":
            return "aborted"
        match state.body.state:
            case "pending" | "committed" as now:
                return now
            case _:
                return "aborted"

    def wait(self, attempt: str) -> None:
        """Return once an attempt is decided; when its owner gave no sign of life for LEASE_NS it is aborted here.

        By the owner's clock or by ours: clocks that disagree make nobody wait longer. Who is aborted learns it at the
        commit point, which then fails: no clock decides over what is published.
        """
        id, last, since_ns = attempt.rpartition("-")[0], Etag(""), 0
        while True:
            state = self.find(id)
            if state is None or state.body.state != "pending" or state.body.attempt_id != attempt:
                return
            if state.etag != last:
                last, since_ns = state.etag, self.clock_ns()
            with suppress(BranchMovedError):
                if self.clock_ns() > min(state.body.expires, since_ns + LEASE_NS):
                    self.abort(state)
                    return
            self.pause(_POLL_S)

    def abort_expired(self, state: TransactionState) -> TransactionState | None:
        """Abort a pending attempt whose time is over; None: it is not, or another was first."""
        if state.body.state != "pending" or self.clock_ns() <= state.body.expires:
            return None
        try:
            return self.abort(state)
        except BranchMovedError:
            return None

    def abort(self, state: TransactionState) -> TransactionState:
        """End a pending attempt without effect: a kept draft is open again, any other is dropped; raises as `swap`."""
        return self.swap(state, replace(state.body, state="open" if state.body.kept else "dropped"))

    def _swap(self, old: Etag | None, body: TransactionBody) -> TransactionState:
        body = replace(body, wid=uuid.uuid4().hex)
        data, sent = encode(body), 0
        while True:
            try:
                return TransactionState(body, self._backend.swap(object_name(body.id), old, data))
            except (BranchMovedError, StorageError) as error:
                now = self.find(body.id)
                if now is not None and body.wid in (now.body.wid, *now.body.recent):
                    return now
                sent += 1
                if isinstance(error, BranchMovedError | StorageFullError) or sent == RESENDS:
                    raise
                self.pause(_POLL_S)
