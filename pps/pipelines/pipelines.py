"""The face of the pipeline service: pipelines, jobs, datums and logs of a store. Delegates; thread-safe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, InvalidInputError, PfsError
from pps.model.catalog import Catalog, Pipeline
from pps.model.infos import PipelineInfo
from pps.model.records import SPEC_BRANCH
from pps.pipelines.code import code_digests, code_files, missing_files
from pps.pipelines.cron_repos import make_cron_repos, other_schedules
from pps.pipelines.defaults import DefaultsText, Level, read_defaults, write_defaults
from pps.pipelines.describe import damaged_info, describe, past_info, pipeline_info, unread_input
from pps.pipelines.past import at_version, versions
from pps.pipelines.regenerate import documents, regenerated
from pps.pipelines.removing import delete_branches, delete_pipeline, delete_unread, undo_create
from pps.pipelines.taken import refuse_taken
from pps.pipelines.versions import (
    AS_USUAL,
    Draft,
    Making,
    first_record,
    fresh_start,
    make_draft,
    next_record,
    publish_record,
    publish_version,
    trigger_branches,
)
from pps.scheduling.cron import tick
from pps.scheduling.live import of, running_jobs
from pps.scheduling.livestanding import standing_now
from pps.scheduling.newest import newest_due
from pps.scheduling.queue import due_jobs
from pps.spec.node import Plain
from pps.spec.parse import parse_specs
from pps.spec.types import Spec
from pps.spec.write import spec_json

if TYPE_CHECKING:
    from pfs.model import CommitInfo
    from pfs.store import Store


class Pipelines:
    """What `pps` commands do, but running jobs: that is `pps.controller.Controller`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_dir = store.path / "run"

    def create(self, spec: Spec, *, base_dir: Path, dry_run: bool = False, making: Making = AS_USUAL) -> PipelineInfo:
        """Make a pipeline and its output repo; its first job is due at once if every input has a commit.

        ``base_dir`` is the folder that files named in the command are relative to. With ``dry_run`` only the checks are
        made.

        Raises:
            AlreadyExistsError: there is a pipeline or repo of that name.
            RepoNotFoundError: an input repo does not exist.
            InvalidInputError: it would read its own output; ``transform.code`` names what does not exist.
            ConflictError: the repo of a cron input holds data, or ticks for another pipeline by another schedule.
        """
        described = spec.description or f"output of pipeline {spec.name}"
        exists = refuse_taken(self._store, spec.name, description=described)
        draft = make_draft(self._store, spec, base_dir, making=making)
        for clash in other_schedules(self._store, spec):
            raise ConflictError(clash)
        if dry_run:
            return describe(spec, first_record(self._store, draft), None)
        if not exists:
            self._store.create_repo(spec.name, description=described)
        cron_repos = make_cron_repos(self._store, spec)
        there = trigger_branches(self._store, spec)
        try:
            publish_version(self._store, draft, first_record(self._store, draft), None)
        except PfsError:
            undo_create(self._store, spec.name)
            delete_unread(self._store, cron_repos)
            with suppress(PfsError):
                delete_branches(self._store, trigger_branches(self._store, spec) - there)
            raise
        return self.inspect(spec.name)

    def update(
        self,
        spec: Spec,
        *,
        base_dir: Path,
        reprocess: bool | None = None,
        dry_run: bool = False,
        making: Making = AS_USUAL,
    ) -> PipelineInfo:
        """Make a new version of a pipeline, or the pipeline if there is none. The same spec and code: nothing happens.

        ``reprocess``: True makes every datum run again, False none on account of a changed command; None: if it
        changed. ``dry_run``: as for `create`.

        Raises:
            RepoNotFoundError, InvalidInputError: as `create`.
        """
        state = self._store.refs.find(spec.name)
        if state is None or SPEC_BRANCH not in state.body.branches:
            return self.create(spec, base_dir=base_dir, dry_run=dry_run, making=making)
        old = Catalog(self._store).get(spec.name)
        gone = () if making.code else missing_files(spec.transform, base_dir, old.record.code)
        if gone:
            note = f"code: {', '.join(gone)} gone from {base_dir}: from this version on the command runs without"
            spec = replace(spec, notes=(*spec.notes, note))
        spec = replace(spec, notes=(*spec.notes, *other_schedules(self._store, spec)))
        draft = make_draft(self._store, spec, base_dir, making=making)
        if dry_run:
            return describe(spec, next_record(self._store, draft, old, reprocess=reprocess), None)
        starts = making.wait and old.record.stopped
        if self.is_changed(old, spec, draft.code) or reprocess or starts:
            self._publish(draft, old, reprocess=reprocess)
        return self.inspect(spec.name)

    def is_changed(self, old: Pipeline, spec: Spec, code: Mapping[str, str]) -> bool:
        """Say whether a spec, with the digests of its code, would be another version than a pipeline has."""
        return old.spec != spec or self._is_other(old, spec) or dict(code) != old.record.code

    def _is_other(self, old: Pipeline, spec: Spec) -> bool:
        """Say whether a spec that means the same differs in fields without effect, which are kept for people."""
        stored = documents(self._store, old)[1]
        return bool(stored and spec.effective) and json.loads(stored) != json.loads(spec.effective)

    def _publish(self, draft: Draft, old: Pipeline, *, reprocess: bool | None = None) -> None:
        make_cron_repos(self._store, draft.spec)
        record = next_record(self._store, draft, old, reprocess=reprocess)
        publish_version(self._store, draft, record, old)

    def changed_code(self, name: str) -> tuple[str, ...]:
        """Return the code files of a pipeline that were edited, or are new, since its version was stored.

        Files that are gone from the disk are not among them: they stay as they are in the store. Those of the task of
        a workflow are taken over by its runs alone.

        Raises:
            NotFoundError: there is no such pipeline.
            StorageError: a file cannot be read.
        """
        old = Catalog(self._store).get(name)
        return _changed(old, self._code_on_disk(old))

    def missing_code(self, name: str) -> tuple[tuple[str, ...], Path]:
        """Return the code files of a pipeline that are gone from the disk, and the folder where they were.

        Raises:
            NotFoundError: there is no such pipeline.
        """
        record = Catalog(self._store).get(name)
        folder = Path(record.record.base_dir)
        if record.spec.transform.task is not None:
            return (), folder
        return missing_files(record.spec.transform, folder, record.record.code), folder

    def refresh_code(self, name: str) -> tuple[str, ...]:
        """Make a new version of a pipeline if `changed_code` finds something; return what; raises as that."""
        old = Catalog(self._store).get(name)
        files = self._code_on_disk(old)
        changed = _changed(old, files)
        if changed:
            given, full = documents(self._store, old)
            spec = replace(old.spec, notes=old.record.notes, source=given, effective=full)
            code = {**old.record.code, **code_digests(files)}
            self._publish(Draft(spec, Path(old.record.base_dir), files, code), old)
        return changed

    def _code_on_disk(self, pipeline: Pipeline) -> dict[str, Path]:
        if pipeline.spec.transform.task is not None:
            return {}
        try:
            return code_files(pipeline.spec.transform, Path(pipeline.record.base_dir))
        except InvalidInputError:
            return {}

    def read(self, text: str, *, name: str) -> list[Spec]:
        """Return the pipelines of a spec file, laid over the defaults of the store; ``name``: for messages.

        Raises:
            InvalidInputError: as `pps.spec.parse_specs`.
        """
        return parse_specs(text, name=name, base=read_defaults(self._store.backend).base())

    def documents(self, name: str, *, version: int | None = None) -> tuple[Plain, Plain]:
        """Return the spec of a pipeline as it was given, and the same laid over the defaults of that time.

        Raises:
            NotFoundError: there is no such pipeline, or no such version of it.
        """
        pipeline = Catalog(self._store).get(name)
        if version is not None:
            pipeline = at_version(self._store, pipeline, version)
        given, full = documents(self._store, pipeline)
        return json.loads(given or "null"), json.loads(full or spec_json(pipeline.spec))

    def defaults(self, level: Level | None = None) -> Plain:
        """Return what specs are laid over: the defaults of one level, or of all together with the built-in ones."""
        return read_defaults(self._store.backend).document(level)

    def set_defaults(
        self,
        level: Level,
        text: DefaultsText,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> tuple[str, ...]:
        """Replace the defaults of one level; return the pipelines whose effective spec is another with them.

        ``regenerate``: these get a new version, with ``reprocess`` one in which every datum runs again. Pipelines
        that are made or updated later are laid over the new defaults in any case. ``dry_run``: nothing changes.

        Raises:
            InvalidInputError, RepoNotFoundError, ConflictError: ``regenerate``, and a pipeline cannot have the spec
                that it would get; nothing changed.
        """
        new = read_defaults(self._store.backend).with_level(level, text)
        changed = regenerated(self._store, new, strict=regenerate)
        if not dry_run:
            write_defaults(self._store.backend, level, text)
            for draft, old in changed if regenerate else ():
                self._publish(draft, old, reprocess=reprocess or None)
        return tuple(old.name for _, old in changed)

    def delete(self, name: str, *, keep_repo: bool = False, force: bool = False) -> None:
        """Take a pipeline away with its output repo; ``keep_repo``: the repo stays, as a plain one.

        Of one that is damaged, which goes with ``force`` only, the repos of cron inputs and the branches for triggers
        stay: only its spec says which they are.

        Raises:
            NotFoundError: there is no such pipeline.
            ConflictError: other pipelines read its output, and ``force`` is not set.
            CorruptionError: it is damaged, and ``force`` is not set; or its refs are, and its repo is to stay.
        """
        delete_pipeline(self._store, name, keep_repo=keep_repo, force=force)

    def stop(self, name: str) -> None:
        """Give a pipeline no jobs until it is started; one that runs ends as killed. Idempotent.

        Raises:
            NotFoundError: there is no such pipeline.
        """
        old = Catalog(self._store).get(name)
        if not old.record.stopped:
            publish_record(self._store, old, fresh_start(self._store, old, stopped=True), message="stopped")

    def start(self, name: str) -> None:
        """Let a stopped pipeline have jobs again: one at once, for the present heads of its inputs. Idempotent.

        Raises:
            NotFoundError: there is no such pipeline.
        """
        old = Catalog(self._store).get(name)
        if old.record.stopped:
            publish_record(self._store, old, fresh_start(self._store, old), message="started")

    def rerun(self, name: str, *, reprocess: bool = False) -> None:
        """Make a job for the present heads of the inputs, with the spec as it is; ``reprocess``: of all datums.

        A datum that did not succeed runs again, others only with ``reprocess``.

        Raises:
            NotFoundError: there is no such pipeline.
            ConflictError: it is stopped.
        """
        old = Catalog(self._store).get(name)
        if old.record.stopped:
            raise ConflictError(f"pipeline {name!r} is stopped: `pps start-pipeline {name}` starts it with a job")
        publish_record(self._store, old, fresh_start(self._store, old, reprocess=reprocess), message="run again")

    def run_cron(self, name: str) -> dict[str, CommitInfo]:
        """Tick all cron inputs of a pipeline now; return the commit of each by the name of the input.

        Raises:
            NotFoundError: there is no such pipeline.
            InvalidInputError: it has no cron input.
        """
        found = [leaf for leaf in Catalog(self._store).get(name).leaves if leaf.cron is not None]
        if not found:
            raise InvalidInputError(
                f"pipeline {name!r} has no cron input: `pps inspect-pipeline {name}` shows what it has"
            )
        ticks = ((leaf.name, tick(self._store, leaf, self._store.clock_ns())) for leaf in found)
        return {one: info for one, info in ticks if info is not None}

    def version(self, name: str, version: int) -> PipelineInfo:
        """Return one version of a pipeline, with the last job of that version.

        Raises:
            NotFoundError: there is no such pipeline, or no such version of it.
            CorruptionError: it is damaged.
        """
        present = Catalog(self._store).get(name)
        if version == present.record.version:
            return self.inspect(name)
        return past_info(at_version(self._store, present, version))

    def past_versions(self, name: str) -> Iterator[PipelineInfo]:
        """Return the versions of a pipeline before the present one, newest first; raises as `version`."""
        present = Catalog(self._store).get(name)
        yield from map(past_info, islice(versions(self._store, present), 1, None))

    def using_secret(self, secret: str) -> list[str]:
        """Return the pipelines whose command is given a secret; damaged ones are not looked at."""
        found = Catalog(self._store).all()
        return sorted(one.name for one in found if secret in _secrets_of(one.spec))

    def folder(self, name: str) -> Path:
        """Return the folder that the files named in a pipeline's command are relative to.

        Raises:
            NotFoundError: there is no such pipeline.
        """
        return Path(Catalog(self._store).get(name).record.base_dir)

    def list(self) -> list[PipelineInfo]:
        """Return all pipelines, upstream ones first, and last those that are damaged."""
        catalog = Catalog(self._store)
        pipelines, unread = catalog.all(), dict(catalog.damaged)
        damaged = catalog.damaged
        running, standing = running_jobs(self._run_dir), standing_now(self._run_dir)
        due = self._due(pipelines, damaged)
        infos = []
        for one in pipelines:
            trouble = unread_input(one, unread)
            if one.name not in damaged or trouble:
                damaged.pop(one.name, None)
                info = pipeline_info(
                    one, due=one.name in due, running=of(one.name, running), standing=standing.get(one.name)
                )
                infos.append(replace(info, unread=trouble))
        return [*infos, *(damaged_info(name, error) for name, error in sorted(damaged.items()))]

    def inspect(self, name: str) -> PipelineInfo:
        """Return one pipeline.

        Raises:
            NotFoundError: there is none of that name.
            CorruptionError: it is damaged.
        """
        catalog = Catalog(self._store)
        found = catalog.get(name)
        damaged: dict[str, PfsError] = {}
        self._store.refs.snapshot((leaf.repo for leaf in found.leaves), damaged=damaged)
        trouble = unread_input(found, damaged)
        due = self._due([*catalog.sources(found), found], damaged)
        if name in damaged and not trouble:
            raise damaged[name]
        running, standing = of(name, running_jobs(self._run_dir)), standing_now(self._run_dir).get(name)
        info = pipeline_info(found, due=name in due, running=running, standing=standing)
        return replace(info, unread=trouble)

    def _due(self, pipelines: Sequence[Pipeline], damaged: MutableMapping[str, PfsError]) -> set[str]:
        """Return the pipelines with a job that is due."""
        jobs = {name for name, found in due_jobs(self._store, pipelines, damaged).items() if found}
        return jobs | set(newest_due(self._store, pipelines, damaged))


def _secrets_of(spec: Spec) -> set[str]:
    names = {use.name for use in spec.transform.secrets}
    return names | {egress.secret for egress in spec.egresses}


def _changed(pipeline: Pipeline, files: Mapping[str, Path]) -> tuple[str, ...]:
    stored = pipeline.record.code
    return tuple(path for path, digest in code_digests(files).items() if stored.get(path) != digest)
