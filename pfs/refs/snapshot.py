"""Several refs objects as they were together: of a transaction over some of them, all is seen or nothing.

All bodies are read, then what became of each transaction that is prepared there, then all bodies again. Ordinary
writers in between do not matter: begun again is only when a transaction came to a repo meanwhile, or may have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, CorruptionError, InvalidInputError, PfsError
from pfs.parallel import at_once
from pfs.refs.body import RECENT, RefsBody
from pfs.refs.prepared import folded, without_entry
from pfs.refs.transactions import Verdict

if TYPE_CHECKING:
    from pfs.refs.read import RefsReader, RefsState

ROUNDS = 50
Raw = Mapping[str, "RefsState | None"]


def take(
    refs: RefsReader,
    names: Callable[[], Iterable[str]],
    damaged: MutableMapping[str, PfsError] | None,
    *,
    back_off: Callable[[int], None],
) -> list[RefsState]:
    """Return the bodies of the repos that ``names`` gives, tombstones too, by name; ``damaged`` as `Refs.snapshot`.

    Two reads of each object, and one of each transaction that is under way.

    Raises:
        ConflictError: transactions came in between again and again.
    """
    for round_no in range(ROUNDS):
        broken: dict[str, PfsError] = {}
        first = _read(refs, names(), broken)
        if broken and damaged is None:
            raise next(iter(broken.values()))
        attempts = {entry.txn for state in first.values() if state is not None for entry in state.body.prepared}
        verdicts = {attempt: refs.transactions.verdict(attempt) for attempt in attempts}
        again = _read(refs, names(), dict(broken), last=first)
        if all(_is_same(first.get(name), state) for name, state in again.items()):
            if damaged is not None:
                damaged.update(broken)
            return [refs.noted(_decided(state, verdicts)) for _, state in sorted(first.items()) if state is not None]
        back_off(round_no)
    raise ConflictError("repos are being changed too often to be read together: try again")


def decide(body: RefsBody, verdicts: Mapping[str, Verdict]) -> RefsBody:
    """Return the body with committed entries folded in and aborted ones gone; missing counts as aborted."""
    for entry in body.prepared:
        match verdicts[entry.txn]:
            case "committed":
                body = folded(body, entry)
            case "aborted" | "missing":
                body = without_entry(body, entry.txn)
    return body


def _read(refs: RefsReader, names: Iterable[str], broken: dict[str, PfsError], *, last: Raw | None = None) -> Raw:
    found: dict[str, RefsState | None] = {}

    def read(name: str) -> None:
        try:
            found[name] = refs.raw(name, last=None if last is None else last.get(name))
        except (CorruptionError, InvalidInputError) as error:
            broken.setdefault(name, error)

    for _ in at_once(refs.parallel, read, names):
        pass
    return {name: found[name] for name in sorted(found)}


def _decided(state: RefsState, verdicts: Mapping[str, Verdict]) -> RefsState:
    from pfs.refs.read import RefsState

    body = decide(state.body, verdicts)
    return state if body is state.body else RefsState(state.repo, body, state.etag)


def _is_same(old: RefsState | None, new: RefsState | None) -> bool:
    """Say whether no transaction came to the repo between two reads."""
    if old is new or new is None:
        return True
    before = RefsBody() if old is None else old.body
    if new.body.seq - before.seq >= RECENT:  # what came may be forgotten again
        return False
    pending = [entry.txn for entry in before.prepared], [entry.txn for entry in new.body.prepared]
    return pending[0] == pending[1] and not _marks(new.body) - _marks(before)


def _marks(body: RefsBody) -> set[str]:
    """Return the attempts that were folded in lately; write ids have no dash."""
    return {wid for wid in body.recent if "-" in wid}
