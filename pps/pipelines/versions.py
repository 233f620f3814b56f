"""Making a version of a pipeline: one commit on ``.spec`` with the spec, the code, and what the queue starts from."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec.structs
from msgspec.structs import replace as with_fields

from pfs.errors import InvalidInputError, NotFoundError, RepoNotFoundError, StorageError
from pfs.files.ingest import put_stream
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchRef, NewCommit
from pfs.paths import to_key
from pfs.provenance.bind import Binding, bind, check
from pfs.trees.edit import DeleteTree, Edit, Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root
from pps.datums.datum import transform_digest
from pps.model.records import (
    CODE_DIR,
    EFFECTIVE_JSON,
    GIVEN_JSON,
    META_BRANCH,
    PIPELINE_JSON,
    SPEC_BRANCH,
    SPEC_JSON,
    Head,
    PipelineRecord,
    encode_json,
)
from pps.pipelines.code import code_digests, code_files
from pps.pipelines.cron_repos import refuse_data
from pps.secret_store import Secrets
from pps.spec.input import leaves
from pps.spec.types import Egress, PfsInput, SecretUse, Spec, SqlEgress
from pps.spec.write import spec_json
from pps.transfers.access import SETTINGS
from pps.workers.secrets import check_secrets

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pps.model.catalog import Pipeline


Planned = Mapping[str, Sequence[str]]
"""Repos that will be there, and the repos that each of them will be computed from."""


@dataclass(frozen=True, slots=True)
class Code:
    """The files of a command: on disk by their path in ``/code``, and their digests by the same."""

    files: Mapping[str, Path]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Making:
    """How a version is made, where that is not as people make one.

    ``planned``: repos that are taken to be there, as others will have made them (`pps.pipelines.several`). ``code``:
    the files of the command, if they are known. ``wait``: it has no job for the heads of its inputs, but for the next
    commit, and is started if it was stopped. ``rebinding``: what it reads will have been bound otherwise by then, so
    that the graph as it is says nothing of circles.
    """

    planned: Planned = field(default_factory=dict)
    code: Code | None = None
    wait: bool = False
    rebinding: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that is checked and not stored yet. ``files``: code files on disk by their path in ``/code``."""

    spec: Spec
    base_dir: Path
    files: Mapping[str, Path]
    code: Mapping[str, str]
    wait: bool = False

    @property
    def transform(self) -> str:
        """The digest of the command as it is, in hex."""
        code = {name: bytes.fromhex(digest) for name, digest in self.code.items()}
        return transform_digest(self.spec.transform, code).hex()


def will_make(spec: Spec) -> Planned:
    """Return the repos that a pipeline makes."""
    crons = [leaf.repo for leaf in leaves(spec.input) if leaf.cron is not None]
    return {spec.name: [leaf.repo for leaf in leaves(spec.input)], **dict.fromkeys(crons, ())}


AS_USUAL = Making()


def make_draft(store: Store, spec: Spec, base_dir: Path, *, making: Making = AS_USUAL) -> Draft:
    """Check a spec against the store and the disk; changes nothing.

    Raises:
        RepoNotFoundError: an input repo does not exist. NotFoundError: a secret, or a key of one, does not.
        InvalidInputError: the pipeline would read its own output, or ``transform.code`` names what does not exist.
        ConflictError: two branches of one repo would be connected by provenance; the repo of a cron input holds data.
        StorageError: a code file cannot be read.
    """
    for leaf in leaves(spec.input):
        if leaf.cron is None and leaf.repo not in making.planned:
            store.repo(leaf.repo)
    refuse_data(store, spec)
    check_secrets(Secrets(store), spec.transform.secrets)
    for egress in spec.egresses:
        _check_egress(store, egress)
    _refuse_circle(store, spec, making.planned)
    if not making.rebinding:
        _refuse_second_branch(store, spec)
    if making.code is not None:
        return Draft(spec, base_dir.resolve(), making.code.files, making.code.digests, making.wait)
    files = code_files(spec.transform, base_dir)
    return Draft(spec, base_dir.resolve(), files, code_digests(files), making.wait)


def _check_egress(store: Store, egress: Egress | SqlEgress) -> None:
    if isinstance(egress, SqlEgress):
        used = SecretUse(egress.secret, egress.key)
        check_secrets(Secrets(store), [used] if used.name else [])
        return
    if egress.secret:
        unknown = sorted(set(Secrets(store).inspect(egress.secret).keys) - SETTINGS)
        if unknown:
            known = ", ".join(sorted(SETTINGS))
            about = f"secret {egress.secret!r} has the key {unknown[0]!r}"
            raise InvalidInputError(f"{about}, which egress has no use for: it takes {known}")


def redraft(store: Store, spec: Spec, old: Pipeline) -> Draft:
    """Check another spec for a pipeline that keeps the code it has; files that only the new one names are taken in.

    Raises as `make_draft`.
    """
    if spec.transform.task is not None:
        # Its folder is taken over by runs of its workflow alone.
        return make_draft(store, spec, Path(old.record.base_dir), making=Making(code=Code({}, old.record.code)))
    draft = make_draft(store, spec, Path(old.record.base_dir))
    files = {name: path for name, path in draft.files.items() if name not in old.record.code}
    return replace(draft, files=files, code={**old.record.code, **code_digests(files)})


def _refuse_circle(store: Store, spec: Spec, planned: Planned) -> None:
    todo, seen = [leaf.repo for leaf in leaves(spec.input)], set[str]()
    while todo:
        repo = todo.pop()
        if repo == spec.name:
            raise InvalidInputError(f"pipeline {spec.name!r} cannot read {repo!r}: that is made from its own output")
        if repo not in seen:
            seen.add(repo)
            todo += planned[repo] if repo in planned else _sources(store, repo)


def _refuse_second_branch(store: Store, spec: Spec) -> None:
    """Refuse inputs that connect two branches of a repo; what the pipeline's branches are bound to now is let go."""
    state = store.refs.find(spec.name)
    present = {} if state is None else state.body.branches
    bindings = {name: Binding() for name, entry in present.items() if entry.pipeline}
    ours = [leaf for leaf in leaves(spec.input) if store.refs.find(leaf.repo) is not None]
    check(store, spec.name, bindings | {spec.output_branch: _binding(ours, spout=spec.spout)})


def _binding(inputs: Iterable[PfsInput], *, spout: bool) -> Binding:
    given = tuple(inputs)
    sources = dict.fromkeys(BranchRef(leaf.repo, leaf.branch) for leaf in given)
    moving = {BranchRef(leaf.repo, leaf.branch) for leaf in given if not leaf.never}
    return Binding(tuple(sources), tuple(one for one in sources if one not in moving), pipeline=True, spout=spout)


def _make_trigger_branches(store: Store, spec: Spec) -> None:
    for leaf in leaves(spec.input):
        if leaf.trigger is not None:
            store.repo(leaf.repo).create_branch(leaf.branch, trigger=leaf.trigger)


def trigger_branches(store: Store, spec: Spec) -> set[BranchRef]:
    """Return the branches for triggers of a spec's inputs that are there."""
    wanted = {BranchRef(leaf.repo, leaf.branch) for leaf in leaves(spec.input) if leaf.trigger is not None}
    states = {state.repo: state.body for state in store.refs.snapshot({one.repo for one in wanted})}
    return {one for one in wanted if one.repo in states and one.branch in states[one.repo].branches}


def _sources(store: Store, repo: str) -> list[str]:
    try:
        branches = store.repo(repo).branches()
    except RepoNotFoundError:
        return []
    return [source.repo for branch in branches for source in branch.provenance]


def first_record(store: Store, draft: Draft) -> PipelineRecord:
    """Return the record of a new pipeline."""
    now_ns, transform = store.clock_ns(), draft.transform
    return PipelineRecord(
        version=1,
        created_ns=now_ns,
        updated_ns=now_ns,
        base_dir=str(draft.base_dir),
        notes=draft.spec.notes,
        code=dict(draft.code),
        transform=transform,
        counts_as=transform,
        salt=draft.spec.salt,
        baseline=_baseline(store, draft.spec),
        waits=draft.wait,
    )


def next_record(store: Store, draft: Draft, old: Pipeline, *, reprocess: bool | None) -> PipelineRecord:
    """Return the record of the version after ``old``.

    ``reprocess``: True makes every datum run again, False none because of a changed command; None: if that changed.
    """
    fresh, before = first_record(store, draft), old.record
    same = reprocess is False or (before.transform == fresh.transform and not reprocess)
    counts_as = before.counts_as if same else fresh.counts_as
    salt = before.salt
    if reprocess:
        salt = uuid.uuid4().hex
    elif reprocess is None and draft.spec.salt and draft.spec.salt != old.spec.salt:
        # One that the spec had already may have been replaced by --reprocess, and is no reason to run again.
        salt = draft.spec.salt
    return msgspec.structs.replace(
        fresh,
        version=before.version + 1,
        created_ns=before.created_ns,
        counts_as=counts_as,
        salt=salt,
        stopped=before.stopped and not draft.wait,
    )


def _baseline(store: Store, spec: Spec) -> tuple[Head, ...]:
    branches = dict.fromkeys((leaf.repo, leaf.branch) for leaf in leaves(spec.input))
    return tuple(Head(repo, branch, _head(store, repo, branch)) for repo, branch in branches)


def _head(store: Store, repo: str, branch: str) -> CommitId | None:
    try:
        return store.repo(repo).branch(branch).head
    except NotFoundError:
        return None


def publish_version(store: Store, draft: Draft, record: PipelineRecord, old: Pipeline | None) -> CommitId:
    """Store a version that was checked by `make_draft`, or reads what the old one reads; returns the spec's commit.

    ``.spec`` moves, and the output branch is bound to the inputs.
    The commit of ``.spec`` is what makes the pipeline exist; everything before it leaves no trace that counts.
    """
    _make_trigger_branches(store, draft.spec)
    _bind_branches(store, draft.spec, old)
    session = store.session()
    now_ns, commit = store.clock_ns(), new_commit_id()
    start = EMPTY_ROOT
    if old is not None:
        start = store.history.get(draft.spec.name, old.spec_commit).tree_root()
    root = edit(session, start, _edits(store, session, draft, record), changed=Changed(bytes.fromhex(commit), now_ns))
    commits = [
        _new_commit(SPEC_BRANCH, root, commit, now_ns, old.spec_commit if old else None, f"version {record.version}")
    ]
    if old is None:
        commits.append(_new_commit(META_BRANCH, EMPTY_ROOT, new_commit_id(), now_ns, None, "no jobs yet"))
    store.repo(draft.spec.name).publish(commits, session)
    return commit


def publish_record(store: Store, old: Pipeline, record: PipelineRecord, *, message: str) -> None:
    """Store a pipeline's record anew, with the spec and code that it has: it starts from the record's baseline.

    Raises:
        BranchMovedError: it was updated meanwhile; nothing changed.
    """
    session = store.session()
    now_ns, commit = store.clock_ns(), new_commit_id()
    start = store.history.get(old.name, old.spec_commit).tree_root()
    put = _put(store, session, PIPELINE_JSON, io.BytesIO(encode_json(record)))
    root = edit(session, start, [put], changed=Changed(bytes.fromhex(commit), now_ns))
    store.repo(old.name).publish([_new_commit(SPEC_BRANCH, root, commit, now_ns, old.spec_commit, message)], session)


def fresh_start(store: Store, old: Pipeline, *, reprocess: bool = False, stopped: bool = False) -> PipelineRecord:
    """Return the record of a pipeline that begins anew at the present heads of its inputs.

    ``reprocess``: every datum runs again.
    """
    return msgspec.structs.replace(
        old.record,
        updated_ns=store.clock_ns(),
        baseline=_baseline(store, old.spec),
        salt=uuid.uuid4().hex if reprocess else old.record.salt,
        stopped=stopped,
        waits=False,
    )


def _new_commit(
    branch: str, root: Root, commit: CommitId, now_ns: int, parent: CommitId | None, message: str
) -> NewCommit:
    parents = () if parent is None else (parent,)
    return NewCommit(branch=branch, root=root, id=commit, started_ns=now_ns, parents=parents, message=message)


def _bind_branches(store: Store, spec: Spec, old: Pipeline | None) -> None:
    """Record what the output branch is computed from, in one swap with the end of an old one."""
    bindings = {spec.output_branch: _binding(leaves(spec.input), spout=spec.spout)}
    if old is not None and old.spec.output_branch != spec.output_branch:
        bindings[old.spec.output_branch] = Binding()
    bind(store, spec.name, bindings, checked=True)  # each look at all provenance reads refs of all repos


def _edits(store: Store, session: WriteSession, draft: Draft, record: PipelineRecord) -> list[Edit]:
    texts = {
        PIPELINE_JSON: encode_json(record),
        SPEC_JSON: spec_json(draft.spec).encode(),
        GIVEN_JSON: draft.spec.source.encode(),
        EFFECTIVE_JSON: draft.spec.effective.encode(),
    }
    edits: list[Edit] = [_put(store, session, path, io.BytesIO(data)) for path, data in texts.items()]
    keep = set(record.code) - set(draft.files)
    if not keep:
        edits.append(DeleteTree(to_key(CODE_DIR)))
    for name, path in draft.files.items():
        edits.append(_put_code(store, session, name, path))
    return edits


def _put_code(store: Store, session: WriteSession, name: str, path: Path) -> Put:
    try:
        with path.open("rb") as stream:
            put = _put(store, session, f"{CODE_DIR}/{name}", stream)
        return with_fields(put, aux={"x": True} if path.stat().st_mode & 0o111 else None)
    except OSError as error:
        raise StorageError(f"read the code file {path}", error.strerror or str(error)) from error


def _put(store: Store, session: WriteSession, path: str, stream: BinaryIO) -> Put:
    ref = put_stream(session, store.params, stream, jobs=1)
    return Put(to_key(path), ref.kind, ref.size, ref.tid)
