"""A store with pipelines in it, for the tests of the pipeline service: real store, real executor, small files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pfs
from cli.job_gateways import job_gateways
from pfs.ids import TreeId, chunk_id, new_commit_id
from pfs.model import CommitInfo, NewCommit
from pfs.store import Store
from pfs.trees.edit import Put, edit
from pfs.trees.page import Kind
from pps.controller import Controller, local_executors
from pps.jobs.jobs import Jobs
from pps.model.events import RunEvent, RunReport
from pps.model.infos import JobInfo, PipelineInfo
from pps.pipelines.pipelines import Pipelines
from pps.spec import Spec, parse_specs
from pps.spec.node import Plain

UPPER = 'for f in "$PFS"/images/*; do tr a-z A-Z < "$f" > "$PFS_OUT/$(basename "$f")"; done\n'


def pfs_input(repo: str, glob: str = "/*", **more: Plain) -> dict[str, Plain]:
    return {"pfs": {"repo": repo, "glob": glob, **more}}


class World:
    """``folder`` holds the store and the code of the pipelines."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.pipelines, self.jobs = Pipelines(store), Jobs(store)
        self.events: list[RunEvent] = []
        self.controller = self.make_controller()

    def make_controller(self, *, checkpoint_s: float = 30.0) -> Controller:
        executors = local_executors(self.store, slots=2, gateways=job_gateways(self.store))
        return Controller(self.store, executors, checkpoint_s=checkpoint_s)

    def put(self, repo: str, files: Mapping[str, bytes | None], *, branch: str = "master") -> CommitInfo:
        """Commit files; None deletes one."""
        made = self.store.create_repo(repo, exist_ok=True)
        with made.commit(branch) as commit:
            for path, data in files.items():
                if data is None:
                    commit.delete_file(path)
                else:
                    commit.put_file(path, data)
        return made.inspect(branch)

    def code(self, name: str, text: str) -> None:
        """Write a file into the folder of the specs."""
        (self.folder / name).write_text(text)

    def spec(
        self,
        name: str,
        given: Plain,
        cmd: Sequence[str] = ("sh", "run.sh"),
        transform: Mapping[str, Plain] | None = None,
        **fields: Plain,
    ) -> Spec:
        return self._spec(name, given, cmd, transform, fields)

    def _spec(
        self,
        name: str,
        given: Plain,
        cmd: Sequence[str],
        transform: Mapping[str, Plain] | None,
        fields: Mapping[str, Plain],
    ) -> Spec:
        command: dict[str, Plain] = {"cmd": list(cmd), **(transform or {})}
        document: dict[str, Plain] = {"pipeline": {"name": name}, "transform": command, "input": given, **fields}
        (spec,) = parse_specs(json.dumps(document), name=f"{name}.json")
        return spec

    def create(
        self,
        name: str,
        given: Plain,
        cmd: Sequence[str] = ("sh", "run.sh"),
        transform: Mapping[str, Plain] | None = None,
        **fields: Plain,
    ) -> PipelineInfo:
        return self.pipelines.create(self._spec(name, given, cmd, transform, fields), base_dir=self.folder)

    def run(self, *names: str) -> RunReport:
        """Do what is due; afterwards ``events`` has what was told."""
        self.events = []
        return self.controller.run_pending(names, on_event=self.events.append)

    def run_one(self, *names: str) -> JobInfo:
        """Do what is due, which is one job."""
        report = self.run(*names)
        assert len(report.jobs) == 1, report
        return report.jobs[0]

    def damage(self, name: str, file: str, data: bytes) -> None:
        """Commit other bytes as a file of a pipeline's present version."""
        repo, session = self.store.repo(name), self.store.session()
        id = chunk_id(data)
        session.put_chunks([(id, data)])
        old = repo.inspect(".spec")
        root = edit(session, old.root, [Put(file.encode(), Kind.FILE, len(data), TreeId(id))], changed=None)
        new = NewCommit(branch=".spec", root=root, id=new_commit_id(), started_ns=1, parents=(old.id,))
        repo.publish([new], session)

    def output(self, repo: str, ref: str = "master") -> dict[str, bytes]:
        view = self.store.repo(repo)[ref]
        return {info.path: view.read(info.path) for info in view.list("/", recursive=True) if info.type == "file"}


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Make a store in a folder, or open the one that is there."""
    with pfs.open(folder) if (folder / ".pfs").exists() else pfs.init(folder) as store:
        yield World(folder, store)
