"""A store: the repos of one directory, and everything they stand on. `init` makes one, `open` opens it."""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing
from copy import copy
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pfs.backends.base import Backend
from pfs.backends.registry import open_backend
from pfs.backends.reserve import keep_reserve
from pfs.config import (
    FOLDER,
    LOCAL_CONFIG,
    LOCAL_OBJECTS,
    ChunkerConfig,
    LocalConfig,
    StoreConfig,
    check_encryption,
    encode_local_config,
    locate,
    open_objects,
    put_config,
    read_config,
    read_local_config,
    write_durably,
)
from pfs.errors import (
    AlreadyExistsError,
    CorruptionError,
    InvalidInputError,
    PfsError,
    StorageError,
)
from pfs.history.reading import history_of
from pfs.ids import CommitId
from pfs.model import ChangeToken, CommitInfo, RepoInfo
from pfs.packs.index import Index
from pfs.parallel import Uploads, uploads_to
from pfs.paths import check_name
from pfs.refs.body import is_hidden
from pfs.refs.level import level
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs
from pfs.refs.turn import Turns
from pfs.spout import Spout

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pfs.encryption.secret import Secret
    from pfs.encryption.unlock import Unlock
    from pfs.files.progress import Progress
    from pfs.gc.report import Report
    from pfs.gc.stats import StoreUse
    from pfs.lifecycle.unread import Readers
    from pfs.packs.session import WriteSession
    from pfs.provenance.dag import Dag
    from pfs.refs.bell import Bell
    from pfs.refs.mirror import Mirror
    from pfs.refs.read import RefsState
    from pfs.refs.watch import Watch
    from pfs.repo import Repo
    from pfs.transactions.transaction import Transaction

__all__ = ["Store", "init", "locate", "open"]

INDEX = "index.lmdb"


def init(directory: Path | str = ".", *, chunk_avg: int = 262144, encrypt: Secret | None = None) -> Store:
    """Make a store in ``directory/.pfs`` and open it; ``chunk_avg`` is the average chunk in bytes, for ever.

    ``encrypt``: encrypt its objects, for ever, so that this secret opens it (docs/design/encryption.md). An `init` that
    was interrupted is completed by the next one: the config of this machine is written last, so that there is a store
    only where there is all of it.

    Raises:
        AlreadyExistsError: there is one.
        InvalidParamsError: ``chunk_avg`` is not between 64 KiB and 8 MiB.
        WrongKeyError, ConflictError: one that was interrupted had another secret, or the other way of storing.
        StorageError: it cannot be written.
    """
    from pfs.rootkey import make_root_key

    top = Path(directory).absolute()
    folder = top if top.name == FOLDER else top / FOLDER
    if (folder / LOCAL_CONFIG).exists():
        raise AlreadyExistsError("store", str(folder))
    config = StoreConfig(store_uuid=str(uuid.uuid4()), chunker=ChunkerConfig(avg=chunk_avg))
    config.params()
    try:
        (folder / LOCAL_OBJECTS).mkdir(parents=True, exist_ok=True)
        make_root_key(folder)
        with closing(open_backend(folder / LOCAL_OBJECTS)) as backend:
            put_config(backend, config, encrypt=encrypt)
            store_uuid = read_config(backend).store_uuid  # of an earlier init that was interrupted, maybe
        keep_reserve(folder)
        Index.open(folder / INDEX, store_uuid=store_uuid).close()
        write_durably(folder / LOCAL_CONFIG, encode_local_config(LocalConfig(encrypted=encrypt is not None)))
    except OSError as error:
        raise StorageError(f"make a store in {folder}", error.strerror or str(error)) from error
    return open(folder, unlock=encrypt)


def open(location: str | Path | None = None, *, unlock: Unlock | None = None) -> Store:  # the verb pfs.open
    """Open the store at a path (the ``.pfs`` folder or the one that holds it); None: see `locate`.

    ``unlock``: what opens it if it is encrypted; else the environment says (`pfs.encryption.unlock.from_environment`).

    A missing index is built again from the objects first: about a second per thousand packs. In the command of a
    spout, the store writes as that spout (`pfs.changes.spouts`).

    Raises:
        StoreNotFoundError: there is none.
        InvalidInputError: it was made by a newer pfs.
        CorruptionError: its index is damaged: `pfs recover` builds a new one.
        KeyNeededError, WrongKeyError: it is encrypted, and there is no passphrase or key file, or another one.
    """
    store = Store(locate(location), unlock=unlock)
    store.spout = Spout.here()
    return store


class Store:
    """An open store; a context manager, thread-safe. Any number of them, in any number of processes, may be open."""

    replayed = False
    """Whether what is done is done again later and must come to the same ids, though times and ids of moves differ."""
    _levelled = False
    spout: Spout | None = None
    """The spout that writes through this store, if it is one's command: it may write to the output of its pipeline."""

    def __init__(
        self,
        path: Path,
        *,
        backend: Backend | None = None,
        unlock: Unlock | None = None,
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        """Open the store in the ``.pfs`` folder ``path``; ``backend``: instead of the one its config names.

        ``clock_ns``: the time, for tests; else `clock_ns` is that of the object store, so that machines agree on it.
        """
        self.path = path
        self._sessions: weakref.WeakSet[WriteSession] = weakref.WeakSet()
        self._sessions_lock = threading.Lock()
        self._mirror: Mirror | None = None
        self._mirror_lock = threading.Lock()
        self.backend = open_objects(path, unlock=unlock) if backend is None else backend
        self.clock_ns: Callable[[], int] = clock_ns or self.backend.now_ns
        self.machine_clock_ns: Callable[[], int] = clock_ns or time.time_ns
        """The clock that dates local files."""
        self.config = read_config(self.backend)
        if backend is None:
            check_encryption(path, self.config)
        self.params = self.config.params()
        freeze_at = read_local_config(path).index_rows
        self.index = Index.open(path / INDEX, store_uuid=self.config.store_uuid, freeze_at=freeze_at)
        self.refs = Refs(self.backend, clock_ns=self.clock_ns)
        self.refs.on_moved = partial(_spread, weakref.ref(self))  # weakly: a store goes as soon as nobody holds it
        self._bell = _bell_of(path, self.refs) if self.backend.parallel > 1 else None
        self.uploads = uploads_to(self.backend)
        self.turns = Turns(path / "run" / "turns")
        self.history = history_of(path, self.backend, self.index, refs=self.refs)
        self.objects = self.history.objects
        try:
            if self.index.stats().packs == 0:
                self.history.rebuild()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the index and the backend; idempotent. What is called afterwards raises InvalidInputError."""
        self.uploads.close()
        self.refs.close()
        self.index.close()
        self.backend.close()

    def as_spout(self, spout: Spout) -> Store:
        """Return this same store as a spout writes to it; closed with this one, and not by itself."""
        twin = copy(self)
        twin.spout = spout
        return twin

    def create_repo(self, name: str, *, description: str = "", exist_ok: bool = False) -> Repo:
        """Create a repo, without branches.

        Raises:
            InvalidNameError: letters, digits, ``-`` and ``_`` only.
            AlreadyExistsError: it exists, and ``exist_ok`` is not set.
        """
        from pfs.repo import Repo

        check_name("repo", name)
        try:
            self.refs.create(name, description=description, now_ns=self.clock_ns())
        except AlreadyExistsError:
            if not exist_ok:
                raise
        else:
            self.history.forget(name)
        return Repo(self, name)

    def repo(self, name: str) -> Repo:
        """Return a repo that exists; raises RepoNotFoundError, InvalidNameError."""
        from pfs.repo import Repo

        self.refs.read(check_name("repo", name))
        return Repo(self, name)

    def list_repos(self) -> list[RepoInfo]:
        """Return all repos by name, as they were together. One that is damaged is there too, with its ``error``."""
        damaged: dict[str, PfsError] = {}
        found = [self._listed(state) for state in self.refs.snapshot(damaged=damaged)]
        found += [_unreadable(name, error) for name, error in damaged.items()]
        return sorted(found, key=lambda info: info.name)

    def _listed(self, state: RefsState) -> RepoInfo:
        try:
            return self.repo_info(state)
        except (CorruptionError, InvalidInputError) as error:
            return _unreadable(state.repo, error)

    def repo_info(self, state: RefsState) -> RepoInfo:
        """Return the public value of a repo whose refs were read.

        Raises:
            CorruptionError, MissingObjectError: the record of master's head cannot be read.
        """
        master = state.body.branches.get("master")
        head = None if master is None or master.head is None else self.history.find(state.repo, master.head)
        return RepoInfo(
            name=state.repo,
            description=state.body.description,
            created_ns=state.body.created,
            branches=tuple(sorted(name for name in state.body.branches if not is_hidden(name))),
            size_bytes=0 if head is None else head.root.size,
            file_count=0 if head is None else head.root.count,
            metadata=state.body.metadata,
        )

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        """Take a repo away at once; its last refs stay in ``log/`` and its data in packs until collection.

        One of which the refs are damaged goes with ``force`` only, and does not come back.

        Raises:
            RepoNotFoundError: there is none.
            CorruptionError: its refs cannot be read, without ``force``.
            ConflictError: a pipeline writes to it or branches of other repos are computed from it, without ``force``;
                with it these lose that provenance.
            BranchMovedError: somebody changed it at this moment.
        """
        from pfs.changes.repos import delete_repo

        delete_repo(self, check_name("repo", name), force=force)

    def session(self, *, background: Executor | None = None) -> WriteSession:
        """Return a fresh write session: for one commit attempt, worker or upload; see `sealing`."""
        from pfs.packs.session import WriteSession

        session = WriteSession(
            self.backend,
            self.index,
            self.objects,
            clock=self.clock_ns,
            seen_gen=self._seen_gen(),
            background=self.sealing(background),
        )
        with self._sessions_lock:
            self._sessions.add(session)
        return session

    def sealing(self, background: Executor | None) -> Executor | Uploads:
        """Return what makes full packs durable: ``background`` if given, but for a bucket threads of the store."""
        return self.uploads if background is None or self.backend.parallel > 1 else background

    def _seen_gen(self) -> int:
        """Return the generation of collection that the index is level with; read once only where that is a request.

        What came since then is seen before a commit is swapped in (`pfs.changes.recheck`), at the cost of looking again
        at what was found stored.
        """
        if self._levelled:
            return self.index.generation()
        self._levelled = self.backend.parallel > 1
        return level(self.backend, self.index).gen

    def keep_leases(self) -> None:
        """Renew the leases of sessions that write nothing for long, where it is time; call it every minute or so."""
        with self._sessions_lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.keep_lease()

    def transaction(self, *, message: str = "") -> Transaction:
        """Return a transaction: changes of several repos, published at once when its ``with`` block ends.

        It lives in this process; `pfs.transactions.transaction.begin` starts one that survives it.
        """
        from pfs.transactions.draft import MemoryDraft
        from pfs.transactions.transaction import Transaction

        return Transaction(self, MemoryDraft(), message=message)

    def collect(
        self,
        *,
        min_age_s: float | None = None,
        grace_s: float | None = None,
        dry_run: bool = False,
        readers: Readers | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Free the space of what nothing leads to, having applied the retention rules: what `pfs gc` does.

        Beside writers and readers. ``min_age_s``: leave younger packs alone; ``grace_s``: give readers this long; each
        is 0 by default, of a store in a bucket a day. A grace of more than 10 minutes is not waited for: a collection
        after it deletes what this one condemns. With ``dry_run`` it is only said what would go. ``readers`` tells what
        pipelines have yet to read, as `pps.scheduling.unread.unread` does; without it rules remove nothing of what
        pipelines read. Costs a read of every page.

        Raises:
            ConflictError: another collection is at work.
            CorruptionError: something live is damaged; nothing was deleted.
            StorageError: the disk failed; the next collection ends what this one began.
        """
        from pfs.gc.collect import collect, foresee
        from pfs.gc.options import in_seconds
        from pfs.lifecycle.unread import nobody

        options = in_seconds(self.backend, min_age_s=min_age_s, grace_s=grace_s)
        return (foresee if dry_run else collect)(self, options, progress=progress, readers=readers or nobody)

    def stats(self, *, exact: bool = False, progress: Progress | None = None) -> StoreUse:
        """Return what repos take up; ``exact`` by a read of every page, raises as `pfs.gc.stats.stats`."""
        from pfs.gc.stats import stats

        return stats(self, exact=exact, progress=progress)

    def commits_by_id(self, commit: CommitId) -> list[CommitInfo]:
        """Return the commit set of an id: the commits of all repos that have it, by repo name; empty if none."""
        from pfs.history.commit_set import members

        return [info for _, info in members(self, commit)]

    def branch_graph(self) -> Dag:
        """Return what is computed from what, over all repos that can be read; one read of refs each."""
        from pfs.provenance.dag import Dag

        return Dag.of((state.repo, state.body) for state in self.refs.snapshot(damaged={}))

    def all_refs(self) -> dict[str, RefsState]:
        """Return the refs of all repos that exist, as they were together, without what says nothing of branches.

        They are kept from call to call: the first one reads all, later ones list and read what moved since. Memory:
        some KiB a repo. Thread-safe.

        Raises:
            CorruptionError: the refs of a repo cannot be read. ConflictError, StorageError: as `Mirror.refresh`.
        """
        with self._mirror_lock:
            if self._mirror is None:
                from pfs.refs.mirror import Mirror

                self._mirror = Mirror(weakref.proxy(self))  # a store goes as soon as nobody holds it
            self._mirror.refresh()
            for error in self._mirror.damaged.values():
                raise error
            return dict(self._mirror.states)

    def changes(self, last: ChangeToken | None = None) -> ChangeToken:
        """Return a token of the present state of all refs, for `wait`; ``last``: one from before, which saves reads."""
        from pfs.refs.watch import change_token

        return change_token(self.backend, self.clock_ns(), last=last)

    def wait(self, since: ChangeToken, timeout_s: float) -> bool:
        """Wait until refs are other than at ``since`` (True, at once if they are) or the time is over (False)."""
        from pfs.refs.watch import CHECK_S, change_token, moved

        end, token = time.monotonic() + timeout_s, since
        with self.watch() as watch:
            while True:
                token = change_token(self.backend, self.clock_ns(), last=token)
                if moved(since, token):
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    return False
                watch.wait(min(left, CHECK_S))

    def watch(self, folders: Iterable[Path] = ()) -> Watch:
        """Return a place to wait until refs, or files in ``folders``, may have moved; close it."""
        from pfs.refs.watch import Watch

        far = [] if self._bell is None else [self._bell.folder]
        return Watch(self.backend, self.clock_ns, folders=[*folders, *far])


def _unreadable(name: str, error: PfsError) -> RepoInfo:
    return RepoInfo(name, description="", created_ns=0, branches=(), size_bytes=0, file_count=0, error=str(error))


def _bell_of(path: Path, refs: Refs) -> Bell:
    from pfs.refs.bell import Bell

    bell = Bell(path)
    refs.on_landed = bell.ring
    return bell


def _spread(holder: weakref.ref[Store], old: RefsState, new: RefsState) -> None:
    """Open commits downstream of what moved."""
    from pfs.provenance.pull import spread

    store = holder()
    if store is not None:
        spread(store, old, new)
