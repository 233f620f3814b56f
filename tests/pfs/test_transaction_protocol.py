"""The protocol of transactions, one backend call at a time: owners, writers, readers, deaths, in any order.

Whatever the order: a reader of several repos sees all of a transaction or nothing; what was acknowledged is there,
once; who dies stops nobody for ever, and what he left is finished or given up by those who survive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import pfs
from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.errors import BranchMovedError, ConflictError, NotFoundError, TransactionNotFoundError
from pfs.refs import read, snapshot
from pfs.refs.body import Prepared, RefsBody
from pfs.refs.prepared import applied, without_entry
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs
from pfs.refs.transactions import LEASE_NS, TransactionBody, Transactions, TransactionState, Verdict
from pfs.repo import Repo
from pfs.store import Store
from pfs.transactions import finish as finish_module
from pfs.transactions.draft import drop
from pfs.transactions.finish import tidy
from pfs.transactions.staged import NoTurns
from pfs.transactions.transaction import Transaction, TransactionRepo, begin, resume
from pfs.upkeep.check import fsck
from tests.pfs.stepping import Actor, SteppedBackend, run

Work = Callable[[Store], None]


@dataclass
class Scene:
    """What the actors share, and what they were told. ``tried`` and ``published``: tag -> the repos that get it."""

    folder: Path
    backend: Backend
    tick_ns: int
    now_ns: int = 1_000_000_000
    tried: dict[str, tuple[str, ...]] = field(default_factory=dict)
    published: dict[str, tuple[str, ...]] = field(default_factory=dict)
    written: list[tuple[str, str]] = field(default_factory=list)
    opened: list[Store] = field(default_factory=list)

    def store(self, actor: Actor | None = None) -> Store:
        backend = self.backend if actor is None else SteppedBackend(self.backend, actor)
        store = Store(self.folder / ".pfs", backend=backend, clock_ns=lambda: self.now_ns)
        store.turns = NoTurns(self.folder)  # a turn is a courtesy: without it orders are wilder
        store.refs.transactions.pause = lambda _: None
        self.opened.append(store)
        return store

    def close(self) -> None:
        """Close what the actors had open: thousands of scenes are played in one process."""
        for store in self.opened:
            store.close()

    def actor(self, name: str, work: Work, *, dies_at: int | None = None) -> Actor:
        def on_its_own(actor: Actor) -> None:
            work(stores[0])

        made = Actor(name, on_its_own, dies_at=dies_at)
        stores = [self.store(made)]
        return made

    def tick(self) -> None:
        self.now_ns += self.tick_ns

    def check_whole(self, states: Iterable[RefsState]) -> None:
        tags = {state.repo: set(state.body.tags) for state in states}
        for name, repos in self.tried.items():
            shown = tuple(repo for repo in repos if name in tags.get(repo, ()))
            assert shown in ((), repos), f"{name} shows in {shown}, not in all of {repos}"

    def check_end(self) -> None:
        """Let a survivor clear up, long after; then all that was acknowledged is there."""
        self.now_ns += 10 * LEASE_NS
        with self.store() as store:
            self.check_whole(store.refs.snapshot())
            for state in tidy(store):
                left = resume(store, state.body.id)
                try:
                    assert is_filled(state)
                    left.finish()
                except (AssertionError, ConflictError):
                    left.drop()
            assert list(store.refs.transactions.all()) == []
            states = list(store.refs.snapshot())
            self.check_whole(states)
            for name, repos in self.published.items():
                assert all(name in s.body.tags for s in states if s.repo in repos), f"{name} was acknowledged"
            for repo, tag in self.written:
                assert any(tag in s.body.tags for s in states if s.repo == repo), f"{tag} was acknowledged"
            for state in states:
                stored = store.refs.settle(state.repo)
                assert stored is not None
                assert stored.body.prepared == ()
                assert not stored.body.branches.keys() & stored.body.tags.keys()


def is_filled(state: TransactionState) -> bool:
    """Say whether the owner of a stored transaction had put in all that he wanted."""
    wanted = state.body.message.count(" ") + 1
    return sum(op["op"] == "create-tag" for op in state.body.ops) == wanted


def tag_all(transaction: Transaction, repos: Sequence[str], name: str) -> None:
    for repo in repos:
        transaction.repo(repo).create_tag(name, "master")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the repos ``a`` and ``b``, a commit each."""
    folder = tmp_path_factory.mktemp("home")
    with pfs.init(folder) as store:
        for name in ("a", "b"):
            with store.create_repo(name).commit("master") as writer:
                writer.put_file("/x", name.encode())
    return folder


def in_memory(folder: Path) -> MemoryBackend:
    backend, local = MemoryBackend(), LocalBackend(folder / ".pfs/objects")
    for entry in local.entries(""):
        backend.swap(entry.name, None, local.get(entry.name))
    return backend


# Every order with two switches, for transactions that only name commits


BOTH = ("a", "b")


class Small:
    """A stored transaction that tags both repos is ready to be finished; who else is about is for the test."""

    def __init__(self, home: Path, *, tick_ns: int) -> None:
        self.scene = Scene(home, in_memory(home), tick_ns)
        with self.scene.store() as store:
            transaction = begin(store, message="a b")
            tag_all(transaction, BOTH, "stored")
            self.id = transaction.id
        self.scene.tried["stored"] = BOTH
        self.works: dict[str, Work] = {
            "owner": self.finish_stored,
            "second owner": self.finish_stored,
            "rival": self.finish_rival,
            "reader": self.read,
            "follower": self.follow,
            "writer": self.write,
            "writer of the same name": self.write_same,
            "tidier": self.tidy,
            "dropper": self.drop,
        }

    def finish_stored(self, store: Store) -> None:
        try:
            resume(store, self.id).finish()
        except (TransactionNotFoundError, ConflictError):
            return  # somebody else was first, or is at it, or made a tag of that name
        self.scene.published["stored"] = BOTH

    def finish_rival(self, store: Store) -> None:
        self.scene.tried["rival"] = BOTH
        try:
            with store.transaction() as transaction:
                tag_all(transaction, BOTH, "rival")
                transaction.repo("b").create_branch("stored")  # a name that only one of them can have
        except ConflictError:
            return
        self.scene.published["rival"] = BOTH

    def read(self, store: Store) -> None:
        for _ in range(3):
            self.scene.check_whole(store.refs.snapshot())

    def follow(self, store: Store) -> None:
        """Read one repo again and again: what was there once stays."""
        seen = set[str]()
        for _ in range(4):
            there = set(store.refs.read("a").body.tags)
            assert seen <= there
            seen = there

    def write(self, store: Store) -> None:
        for repo in BOTH:
            store.repo(repo).create_tag("written", "master")
            self.scene.written.append((repo, "written"))

    def write_same(self, store: Store) -> None:
        try:
            store.repo("a").create_branch("stored")
        except ConflictError:
            return
        assert "stored" not in self.scene.published

    def tidy(self, store: Store) -> None:
        tidy(store)

    def drop(self, store: Store) -> None:
        try:
            drop(store.refs.transactions, self.id)
        except (TransactionNotFoundError, ConflictError):
            return
        assert "stored" not in self.scene.published


def explore(
    home: Path, first: str, other: str, *, tick_ns: int, stride: int = 1, dies: bool = False, then: int = 1000
) -> int:
    """Run ``first`` for some calls, then ``other`` for some, then both to their ends; for every pair of numbers.

    ``dies``: ``first`` never goes on; else it does for ``then`` calls before the other does. ``stride``: between the
    numbers of calls of the other. Returns how many orders there were.
    """
    orders = 0
    length = measure(home, first, tick_ns=tick_ns)
    for before in range(1, length + 1):
        between = 0
        while True:
            between += stride
            small = Small(home, tick_ns=tick_ns)
            actors = [
                small.scene.actor(first, small.works[first], dies_at=before if dies else None),
                small.scene.actor(other, small.works[other]),
                small.scene.actor("looker", small.read),
            ]
            run(actors, [(0, before), (2, 3), (1, between), (2, 9), (0, then), (1, 1000)], tick=small.scene.tick)
            small.scene.check_end()
            small.scene.close()
            orders += 1
            if dies or between >= actors[1].steps:
                break
    return orders


def measure(home: Path, name: str, *, tick_ns: int) -> int:
    small = Small(home, tick_ns=tick_ns)
    actor = small.scene.actor(name, small.works[name])
    run([actor], [], tick=small.scene.tick)
    small.scene.close()
    return actor.steps


_OTHERS = ["second owner", "rival", "reader", "follower", "writer", "writer of the same name", "tidier", "dropper"]
_PATIENT, _HASTY = LEASE_NS // 1000, LEASE_NS // 4
"""How much time goes by with each call: owners are never given up, or nearly always."""


@pytest.mark.parametrize("other", _OTHERS)
def test_every_order_with_two_switches(home: Path, other: str) -> None:
    assert explore(home, "owner", other, tick_ns=_HASTY, stride=3) > 20
    assert explore(home, "owner", other, tick_ns=_HASTY, dies=True) > 10


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tick_ns", [LEASE_NS // 20, _HASTY])
@pytest.mark.parametrize("other", _OTHERS)
@pytest.mark.parametrize("first", ["owner", "rival", "tidier"])
def test_every_order_with_two_switches_at_length(home: Path, first: str, other: str, tick_ns: int) -> None:
    explore(home, first, other, tick_ns=tick_ns, stride=2)
    explore(home, first, other, tick_ns=tick_ns, stride=3, then=1)
    explore(home, first, other, tick_ns=tick_ns, dies=True)


# What the protocol rests on, taken away piece by piece: each is caught


def read_once(refs: Refs, names: Callable[[], Iterable[str]], damaged: object, *, back_off: object) -> list[RefsState]:
    first = snapshot._read(refs, names(), {})
    attempts = {entry.txn for state in first.values() if state is not None for entry in state.body.prepared}
    verdicts = {attempt: refs.transactions.verdict(attempt) for attempt in attempts}
    return [snapshot._decided(state, verdicts) for _, state in sorted(first.items()) if state is not None]


def read_each_alone(
    refs: Refs, names: Callable[[], Iterable[str]], damaged: object, *, back_off: object
) -> list[RefsState]:
    return [state for state in map(refs._load, sorted(names())) if state is not None]


def give_no_way(self: Refs, state: RefsState, body: RefsBody) -> None:
    return


def remove_first(store: Store, body: TransactionBody) -> None:
    store.refs.transactions.remove(body.id)
    for repo in body.repos:
        store.refs.settle(repo)


def abort_whatever_it_is(self: Transactions, state: TransactionState) -> TransactionState:
    while (now := self.find(state.body.id)) is not None:
        try:
            return self.swap(now, replace(now.body, state="open" if now.body.kept else "dropped"))
        except BranchMovedError:
            continue
    raise BranchMovedError(state.body.id)


def decide_at_once(self: Refs, stored: RefsState) -> RefsState:
    verdicts: Mapping[str, Verdict] = {e.txn: self.transactions.verdict(e.txn) for e in stored.body.prepared}
    body = snapshot.decide(stored.body, verdicts)
    return stored if body is stored.body else RefsState(stored.repo, body, stored.etag)


def fold_without_mark(body: RefsBody, entry: Prepared) -> RefsBody:
    return without_entry(applied(body, entry), entry.txn)


_MUTANTS: list[tuple[str, object, str, object, str]] = [
    ("several repos are read once", read, "take", read_once, "reader"),
    ("several repos are read one by one", read, "take", read_each_alone, "reader"),
    ("nobody gives way", Refs, "_give_way", give_no_way, "writer of the same name"),
    ("the object goes before the entries", finish_module, "settle", remove_first, "reader"),
    ("an abort is no swap of what was read", Transactions, "abort", abort_whatever_it_is, "tidier"),
    ("a missing object is believed at once", Refs, "_decided", decide_at_once, "follower"),
    ("folding in leaves no mark", snapshot, "folded", fold_without_mark, "reader"),
]


@pytest.mark.parametrize(("place", "name", "mutant", "other"), [m[1:] for m in _MUTANTS], ids=[m[0] for m in _MUTANTS])
def test_each_piece_of_the_protocol_is_needed(
    home: Path, place: object, name: str, mutant: object, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant)
    with pytest.raises(AssertionError):  # noqa: PT012  # whichever of them meets it
        for tick_ns in (_PATIENT, _HASTY):
            explore(home, "owner", other, tick_ns=tick_ns)
            explore(home, "owner", other, tick_ns=tick_ns, then=1)


# Random orders, for transactions with commits


REPOS = ("a", "b", "c")


def put(repo: Repo | TransactionRepo, name: str) -> None:
    with repo.commit("master") as writer:
        writer.put_file(f"/{name}", name.encode())


class Large:
    """Owners who commit to some repos of three, writers beside them."""

    def __init__(self, folder: Path, *, stored: bool) -> None:
        with pfs.init(folder) as store:
            for repo in REPOS:
                store.create_repo(repo)
        self.scene = Scene(folder, in_memory(folder), LEASE_NS // 60)
        self.files: list[tuple[str, str]] = []
        self.stored = stored

    def owner(self, name: str, repos: tuple[str, ...], *, stored: bool) -> Work:
        def work(store: Store) -> None:
            transaction = begin(store, message="a b c") if stored else store.transaction()
            self.scene.tried[name] = repos
            try:
                for repo in repos:
                    put(transaction.repo(repo), name)
                    transaction.repo(repo).create_tag(name, "master")
                transaction.finish()
            except (TransactionNotFoundError, ConflictError) as error:
                if not stored and "too often" not in str(error):
                    raise
                return  # somebody who found it was first, or is at it, maybe before its last name was looked up again
            self.scene.published[name] = repos

        return work

    def finisher(self, store: Store) -> None:
        for _ in range(3):
            for state in filter(is_filled, tidy(store)):
                try:
                    resume(store, state.body.id).finish()
                except (TransactionNotFoundError, ConflictError):
                    continue
                self.scene.published["one"] = REPOS

    def writer(self, repo: str, names: Sequence[str]) -> Work:
        def work(store: Store) -> None:
            for name in names:
                put(store.repo(repo), name)
                self.files.append((repo, name))

        return work

    def reader(self, store: Store) -> None:
        for _ in range(12):
            self.scene.check_whole(store.refs.snapshot())

    def play(self, bursts: Sequence[tuple[int, int]], deaths: Sequence[int | None], *, steal: bool) -> None:
        works = [
            self.owner("one", REPOS, stored=self.stored),
            self.owner("two", ("b", "c"), stored=False),
            self.writer("b", ("w1", "w2")),
            self.finisher if steal else self.writer("c", ("v1",)),
            self.reader,
        ]
        actors = [
            self.scene.actor(str(number), work, dies_at=death)
            for number, (work, death) in enumerate(zip(works, deaths, strict=True))
        ]
        run(actors, bursts, tick=self.scene.tick)
        self.scene.check_end()
        with self.scene.store() as store:
            for repo in REPOS:
                self.check_files(store.repo(repo))
            assert list(fsck(store, deep=True)) == []
        self.scene.close()

    def check_files(self, repo: Repo) -> None:
        try:
            chain = list(repo.commits("master"))
            there = {info.path[1:] for info in repo["master"].list()}
        except NotFoundError:
            chain, there = [], set()
        expected = {name for of, name in self.files if of == repo.name} | {tag.name for tag in repo.tags()}
        assert expected <= there
        assert len(chain) == len(there), "each commit made one file: none came twice"


_bursts = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40)), max_size=40)
_death = st.one_of(st.none(), st.integers(1, 160))
_deaths = st.tuples(_death, _death, _death, st.none(), st.none())
_quiet = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def folders() -> Iterator[Callable[[], Path]]:
    with tempfile.TemporaryDirectory() as top:
        numbers = iter(range(1_000_000))
        yield lambda: Path(top) / str(next(numbers))


@settings(_quiet, max_examples=15)
@given(bursts=_bursts, deaths=_deaths, stored=st.booleans(), steal=st.booleans())
def test_any_order_and_any_death(
    folders: Callable[[], Path],
    bursts: list[tuple[int, int]],
    deaths: tuple[int | None, ...],
    stored: bool,
    steal: bool,
) -> None:
    Large(folders(), stored=stored).play(bursts, deaths, steal=steal)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(_quiet, max_examples=1000)
@given(bursts=_bursts, deaths=_deaths, stored=st.booleans(), steal=st.booleans())
def test_any_order_and_any_death_at_length(
    folders: Callable[[], Path],
    bursts: list[tuple[int, int]],
    deaths: tuple[int | None, ...],
    stored: bool,
    steal: bool,
) -> None:
    Large(folders(), stored=stored).play(bursts, deaths, steal=steal)
