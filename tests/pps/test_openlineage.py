"""OpenLineage events of real jobs, held against the classes that OpenLineage's own client makes of its JSON schema.

Each event is built again with them: an unknown or missing field, a value that is no UUID, time or URI, or a facet of
another version than the client has is an error. (openlineage-python, Apache-2.0, https://openlineage.io)
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attr
import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated import (
    dataset_version_dataset,
    datasource_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    source_code_location_job,
)
from openlineage.client.serde import Serde

from pfs.errors import FailedError, InvalidInputError, StorageError
from pps.lineage.deliver import deliver
from pps.lineage.openlineage import Event, run_events
from pps.model import events
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in

FACETS: Mapping[str, type[Any]] = {
    "parent": parent_run.ParentRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "documentation": documentation_job.DocumentationJobFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
    "dataSource": datasource_dataset.DatasourceDatasetFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


def told(world: World, **more: Any) -> list[Event]:
    jobs = sorted(world.jobs.jobs(), key=lambda one: (one.started_ns, one.pipeline))
    return list(run_events(world.store, jobs, **more))


def facets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return facets as the client has them; ours, which it does not know, stay as they are and are looked at here."""
    made: dict[str, Any] = {}
    for name, fields in given.items():
        if name.startswith("pfs_"):
            assert {"_producer", "_schemaURL"} <= fields.keys()
            made[name] = fields
            continue
        plain = {key: value for key, value in fields.items() if key not in {"_producer", "_schemaURL"}}
        if name == "parent":
            plain = {"run": parent_run.Run(**plain["run"]), "job": parent_run.Job(**plain["job"])}
        facet = FACETS[name](**plain, producer=fields["_producer"])
        assert facet._schemaURL == fields["_schemaURL"], "another version of the facet"
        made[name] = facet
    return made


def dataset(kind: type[Any], given: Mapping[str, Any], extra: str) -> Any:
    assert given.keys() <= {"namespace", "name", "facets", extra}
    more = {extra: facets(given[extra])} if extra in given else {}
    return kind(given["namespace"], given["name"], facets=facets(given["facets"]), **more)


def rebuilt(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event as the client writes it, made of what ours says."""
    made = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(runId=event["run"]["runId"], facets=facets(event["run"]["facets"])),
        job=Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]["facets"])),
        eventType=RunState(event["eventType"]),
        inputs=[dataset(InputDataset, one, "inputFacets") for one in event["inputs"]],
        outputs=[dataset(OutputDataset, one, "outputFacets") for one in event["outputs"]],
    )
    return Serde.to_dict(attr.asdict(made))


def without_empty(value: Any) -> Any:
    """Return a document without empty maps, which the client writes and nobody has to."""
    if isinstance(value, dict):
        return {key: without_empty(one) for key, one in value.items() if one != {}}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


def test_events_are_what_the_official_client_would_write(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2"})
    world.create("upper", pfs_input("images"), description="makes them loud")
    world.code("fail.sh", "exit 3\n")
    world.create("fails", pfs_input("upper"), cmd=["sh", "fail.sh"], datum_tries=1)
    world.create("never", pfs_input("fails"))
    world.run()
    events = told(world)
    for event in events:
        assert without_empty(rebuilt(event)) == without_empty(event)
        assert set(event) == {
            "eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs",
        }  # fmt: skip
    kinds = {(event["job"]["name"], event["eventType"]) for event in events}
    ends = {("upper", "COMPLETE"), ("fails", "FAIL"), ("never", "FAIL")}
    assert kinds == ends | {(name, "START") for name, _ in ends}


def test_runs_and_datasets_are_named_so_that_they_meet(world: World) -> None:
    commit = world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"))
    world.create("again", pfs_input("upper"), cmd=["true"])
    world.run()
    events: list[Any] = told(world)
    assert events == told(world), "the same each time"
    namespace = f"pfs://{world.store.config.store_uuid}"
    ends = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
    (out,), (given,) = ends["upper"]["outputs"], ends["again"]["inputs"]
    assert (out["namespace"], out["name"]) == (given["namespace"], given["name"]) == (namespace, "upper@master")
    assert out["facets"] == given["facets"]
    assert out["facets"]["version"]["datasetVersion"] == commit.id
    statistics = out["outputFacets"]["outputStatistics"]
    assert (statistics["size"], statistics["fileCount"]) == (1, 1)
    runs = {event["run"]["runId"] for event in events}
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in events}
    assert (len(runs), len(parents)) == (2, 1)
    assert all(uuid.UUID(one) for one in runs | parents)
    facet = ends["upper"]["job"]["facets"]["pfs_pipeline"]
    info = world.pipelines.inspect("upper")
    assert (facet["version"], facet["specCommit"], len(facet["codeDigest"])) == (1, info.spec_commit, 64)
    renamed: list[Any] = told(world, namespace="lab")
    assert {event["job"]["namespace"] for event in renamed} == {"lab"}
    assert {event["run"]["runId"] for event in renamed} == runs


def test_a_job_that_was_stopped_is_aborted(world: World, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where egress wants a folder")
    world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"), egress={"URL": blocked.as_uri()})

    def stop(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            world.pipelines.stop("upper")

    report = world.make_controller().run_pending((), on_event=stop)
    assert [job.state for job in report.jobs] == ["killed"]
    start, end = told(world)
    assert without_empty(rebuilt(end)) == without_empty(end)
    ended: Any = end
    assert (start["eventType"], ended["eventType"]) == ("START", "ABORT")
    assert ended["run"]["facets"]["errorMessage"]["message"] == "the pipeline was stopped"
    assert "version" not in ended["outputs"][0]["facets"], "no version of the output came of it"


class Server(ThreadingHTTPServer):
    """A server that answers with ``answers`` in their order, then with 201."""

    answers: list[int]
    taken: list[tuple[str, str | None, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.answers.pop(0) if self.server.answers else 201
        if status < 300:
            self.server.taken.append((self.path, self.headers["Authorization"], body))
        said = b"the event is odd" if status == 422 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*answers: int) -> Iterator[tuple[Server, str]]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.taken = list(answers), []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


EVENTS: list[Event] = [{"n": 1}, {"n": 2}]


def test_events_are_posted_in_order_and_again_when_the_server_is_busy() -> None:
    with serving(503, 201, 429, 500) as (server, url):
        assert deliver(EVENTS, url, backoff_s=0.001) == 2
    assert [(path, body) for path, _, body in server.taken] == [("/api/v1/lineage", one) for one in EVENTS]
    with serving() as (server, url):
        deliver(EVENTS[:1], f"{url}/other?x=1", headers={"Authorization": "Bearer k"})
    assert server.taken == [("/other?x=1", "Bearer k", EVENTS[0])]


def test_what_the_server_refuses_or_cannot_do_is_said() -> None:
    with serving(201, 422) as (server, url), pytest.raises(FailedError, match="422: the event is odd"):
        deliver(EVENTS, url)
    assert len(server.taken) == 1
    with serving(*[503] * 5) as (_, url), pytest.raises(StorageError, match="answered 503 5 times"):
        deliver(EVENTS, url, backoff_s=0.001)
    with serving(302) as (_, url), pytest.raises(FailedError, match="302"):
        deliver(EVENTS, url)
    with pytest.raises(StorageError, match="cannot send lineage"):
        deliver(EVENTS, url, backoff_s=0.001)
    for wrong in ("ftp://x", "http://", "http://[", "x"):
        with pytest.raises(InvalidInputError, match="no URL"):
            deliver(EVENTS, wrong)
