"""One datum of a job again, here and now, as its worker ran it: same inputs, version, code and isolation.

Nothing of it is committed: what the command writes goes into a store of its own that is removed in the end, but for
what is written over S3, which goes into a session of the store that is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import FailedError, MissingObjectError
from pfs.files.reader import iter_range
from pfs.ids import CommitId
from pfs.paths import from_key, to_key
from pfs.store import Store, init
from pfs.trees.tree import Tree
from pps.datums.datum import Item, datum_id
from pps.executor import DatumDone, DatumTask, Event, OutputFile, WorkUnit
from pps.executors.local import LocalExecutor
from pps.model.catalog import read_version
from pps.model.records import CODE_DIR, out_key
from pps.model.state import DatumState
from pps.model.variables import pipeline_variables
from pps.scheduling.jobplan import CommitMatches, datum_inputs
from pps.spec.input import leaves
from pps.workers.artifacts import artifacts_of
from pps.workers.command import run_command
from pps.workers.feeder import feeding
from pps.workers.scratch import Workplace
from pps.workers.setting import Setting
from pps.workers.stop import Stop
from pps.workers.surroundings import mount_places, surroundings
from pps.workers.unit import run_unit

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pps.datums.table import Entry
    from pps.job_gateway import OpenGateway
    from pps.model.catalog import Pipeline
    from pps.model.records import JobRecord

_SHELL = 'if command -v bash >/dev/null; then exec bash -i <"$0" >"$0" 2>&1; else exec sh -i <"$0" >"$0" 2>&1; fi'


@dataclass(frozen=True, slots=True)
class FileAgain:
    """A file that the command wrote, or that it once wrote: ``how`` it compares with what the datum has in the store.

    ``same``, ``differs``, ``new``, ``missing`` (it was not written this time), or ``unknown``: the datum has no result.
    """

    path: str
    size: int
    how: str


@dataclass(frozen=True, slots=True)
class Again:
    """How it went; ``before``: how the datum ended in the job."""

    datum: str
    before: DatumState
    state: str
    reason: str
    exit_code: int | None
    signal: int | None
    files: tuple[FileAgain, ...]


class Repeat:
    """A datum that is ready to run; see `repeating`."""

    def __init__(self, store: Store, unit: WorkUnit, setting: Setting, *, work_dir: Path) -> None:
        self.unit = unit
        self._store, self._setting, self._work_dir = store, setting, work_dir
        self._session: WriteSession | None = None
        self._own: Store | None = None
        self._outputs: tuple[OutputFile, ...] = ()

    @property
    def isolation(self) -> str:
        """How the command sees /pfs."""
        return self._setting.isolation.kind

    def run(self, *, stop: Stop) -> DatumDone:
        """Run the command, and err_cmd where it fails, in one attempt; its log grows meanwhile below `log_dir`.

        Raises:
            CancelledError: ``stop`` was set.
            PfsError: the store or the spawner failed. OSError: there is no place to work in.
        """
        ended: list[Event] = []
        # What is written over S3 goes to the store itself, as its gateway does.
        if not self.unit.s3_out and self.unit.transform.task is None:
            self._own = init(self._work_dir / "written", chunk_avg=self._store.config.chunker.avg)
        into = self._own or self._store
        scratch = self._work_dir / "scratch"
        self._session = run_unit(self._setting, self.unit, scratch=scratch, emit=ended.append, stop=stop, into=into)
        (done,) = (event for event in ended if isinstance(event, DatumDone))
        self._outputs = done.outputs
        return done

    @property
    def log_dir(self) -> Path:
        """Where the log is, as `pps.workers.logs.log_path` has it."""
        return self._setting.log_dir

    def keep(self, folder: Path) -> None:
        """Write what the command left into a folder.

        Raises:
            OSError, PfsError: it cannot be written, or read.
        """
        assert self._session is not None, "it has run"
        for output in self._outputs:
            target = folder / output.key.decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                self._copy(output, file.write)
            if output.executable:
                target.chmod(0o755)

    def _copy(self, output: OutputFile, write: Callable[[memoryview], object]) -> None:
        """Copy what was written now, or, of a link to an input, what the store has."""
        assert self._session is not None
        for source in (_Reading(self._session), self._store.objects):
            try:
                for piece in iter_range(source, output.ref, jobs=1):
                    write(piece)
            except MissingObjectError:
                if source is self._store.objects:
                    raise
            else:
                return

    def shell(self, tty: str, *, stop: Stop) -> int:
        """Run a shell on the terminal ``tty`` in the place of the command, and return its exit code.

        Raises:
            FailedError: commands of this pipeline run in containers.
            PfsError, OSError: as `run`.
        """
        if self.isolation == "container":
            raise FailedError("a shell in a container cannot be had: take --isolation namespace, or none")
        (task,) = self.unit.datums
        unit, artifacts = self.unit, None
        if unit.transform.task is not None:
            unit, task, artifacts = artifacts_of(self._store, unit, task)
        places = mount_places(self._setting, unit, task)
        with (
            Workplace(self._work_dir / "scratch").scratch(places) as scratch,
            surroundings(self._setting, unit, task, scratch=scratch, artifacts=artifacts) as around,
            feeding(self._store, self._setting.staging, task, scratch, on_error=stop.kill),
        ):
            argv = ("sh", "-c", _SHELL, tty)
            ended = run_command(around, argv, (), on_output=lambda *_: None, stop=stop, timeout_s=None)
        return ended.code if ended.code is not None else 128 + (ended.signal or 0)

    def close(self) -> None:
        """Let go of what was written."""
        if self._session is not None:
            self._session.abandon()
        if self._own is not None:
            self._own.close()


class _Reading:
    """A session as what files are read from."""

    def __init__(self, session: WriteSession) -> None:
        self.chunk, self.manifest = session.chunk, session.manifest

    def chunks(self, wanted: Sequence[tuple[bytes, int]]) -> list[bytes]:
        """Return the (id, size) chunks in the order given."""
        return [self.chunk(id, size) for id, size in wanted]  # type: ignore[arg-type]  # ids of chunks are bytes


@contextmanager
def repeating(
    store: Store,
    pipeline: Pipeline,
    job: JobRecord,
    entry: Entry,
    *,
    work_dir: Path,
    isolation: str,
    gateways: OpenGateway,
) -> Iterator[Repeat]:
    """Put everything in place to run a datum again; ``work_dir`` is an empty folder. Nothing is left afterwards.

    Raises:
        PfsError: what it was made of is not there any more; the isolation is not to be had.
        OSError: ``work_dir`` cannot be written.
    """
    code = work_dir / "code"
    unit = _unit(store, pipeline, job, entry, code=code)
    with ExitStack() as uses:
        executor = LocalExecutor(
            store,
            slots=1,
            work_dir=work_dir / "work",
            log_dir=work_dir / "logs",
            isolation=isolation,
            gateways=gateways,
        )
        uses.callback(executor.close)
        repeat = Repeat(store, unit, executor.setting_for(unit), work_dir=work_dir)
        uses.callback(repeat.close)
        yield repeat


def _unit(store: Store, pipeline: Pipeline, job: JobRecord, entry: Entry, *, code: Path) -> WorkUnit:
    spec, _ = read_version(store, pipeline.name, job.spec_commit)
    commits = {(repo, branch): CommitId(commit) for _, repo, branch, commit in job.inputs}
    matches, found = CommitMatches(store, commits), list(leaves(spec.input))
    items = []
    for source in entry.inputs:
        leaf = found[source.leaf]
        row = matches.tree(leaf).stat(to_key(source.path))
        if row is None:
            raise FailedError(f"{leaf.repo}:{source.path} is not in commit {matches.commit(leaf)} any more")
        items.append(Item(leaf, matches.commit(leaf), row))
    assert datum_id(tuple(items)) == entry.id, "a datum is made of what its row says"
    env = pipeline_variables(pipeline.name, job.spec_commit)
    task = DatumTask(entry.id.hex(), 0, datum_inputs(tuple(items)), env, tries=1)
    _restore_code(store, pipeline.name, job.spec_commit, code)
    return WorkUnit(
        job=job.id,
        pipeline=pipeline.name,
        attempt=job.restart,
        number=0,
        transform=spec.transform,
        code_dir=code,
        datums=(task,),
        timeout_s=spec.datum_timeout_s,
        s3_out=spec.s3_out,
        limits=spec.limits,
    )


def _restore_code(store: Store, pipeline: str, spec_commit: CommitId, code: Path) -> None:
    code.mkdir(parents=True)
    view = store.repo(pipeline).view(spec_commit)
    if view.tree.stat(CODE_DIR.encode()[1:], want="dir") is not None:
        view.restore(CODE_DIR, code)


def compare(store: Store, pipeline: Pipeline, job: JobRecord, entry: Entry, done: DatumDone) -> Again:
    """Say how it went, and how what was written compares with what the datum has in the store."""
    known = entry.result.state in {DatumState.SUCCESS, DatumState.SKIPPED}
    committed = dict(_committed(store, pipeline, job, entry)) if known else {}
    files = []
    for output in done.outputs:
        before = committed.pop(output.key, None)
        how = "new" if before is None else "same" if before == bytes(output.ref.tid) else "differs"
        files.append(FileAgain(from_key(output.key), output.ref.size, how if known else "unknown"))
    if done.state == "success":
        files += [FileAgain(from_key(key), 0, "missing") for key in committed]
    reason = done.error or ""
    return Again(done.datum, entry.result.state, done.state, reason, done.exit_code, done.signal, tuple(files))


def _committed(store: Store, pipeline: Pipeline, job: JobRecord, entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and content id of the datum's files in the store."""
    root = pipeline.meta_root
    if job.meta_commit is not None:
        root = store.history.get(pipeline.name, CommitId(job.meta_commit)).tree_root()
    folder = out_key(entry.id.hex())
    for row in Tree(store.objects, root).walk(folder):
        yield row.key[len(folder) + 1 :], bytes(row.tid)
