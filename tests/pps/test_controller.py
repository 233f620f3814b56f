"""Jobs from commit to output, with the real store and executor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pfs.errors import ConflictError, CorruptionError, NotFoundError
from pps.model import events
from pps.model.event_log import decode_events
from pps.model.infos import JobInfo
from pps.model.records import decode_job, job_key
from pps.model.state import Counters, DatumState, JobState, replay
from pps.scheduling.lease import HolderLocks
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        made.store.create_repo("images")
        yield made


@pytest.mark.row("2.4 skip", "2.4 removed inputs", "2.5 job id", "2.5 state SUCCESS", "2.5 counters")
def test_a_pipeline_over_a_hundred_files(world: World) -> None:
    first = world.put("images", {f"/f{number:03}": b"text %d" % number for number in range(100)})
    world.create("upper", pfs_input("images"))
    job = world.run_one()
    assert (job.id, job.state, job.counters) == (first.id, JobState.SUCCESS, Counters(total=100, processed=100))
    assert world.output("upper") == {f"/f{number:03}": b"TEXT %d" % number for number in range(100)}
    assert world.run().jobs == ()

    world.put("images", {"/f007": b"new"})
    assert world.run_one().counters == Counters(total=100, processed=1, skipped=99)
    assert world.output("upper")["/f007"] == b"NEW"

    world.put("images", {"/f007": None, "/f008": None})
    assert world.run_one().counters == Counters(total=98, skipped=98)
    assert set(world.output("upper")) == {f"/f{number:03}" for number in range(100) if number not in (7, 8)}

    world.code("run.sh", UPPER.replace("a-z A-Z", "t T"))
    job = world.run_one()
    assert (job.version, job.counters) == (2, Counters(total=98, processed=98))
    assert world.output("upper")["/f000"] == b"TexT 0"
    assert isinstance(world.events[0], events.PipelineUpdated)
    assert world.run().jobs == ()


def test_an_output_is_the_same_however_it_came_about(world: World) -> None:
    world.create("upper", pfs_input("images"))
    for files in ({"/a": b"1", "/b": b"2"}, {"/a": b"3"}, {"/b": None, "/c": b"x"}):
        world.put("images", files)
        world.run()
    world.code("again.sh", UPPER)
    world.create("again", pfs_input("images"), cmd=["sh", "again.sh"])
    world.run()
    heads = [world.store.repo(name)["master"].info.root.tid for name in ("upper", "again")]
    assert heads[0] == heads[1]


@pytest.mark.row(
    "2.2 datum_tries",
    "2.4 failed datums",
    "2.5 state FAILURE",
    "2.5 failing datums",
    "2.5 one transaction",
    "2.6 state FAILED",
)
def test_failing_code_fails_the_job_and_the_rest_is_taken_over(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b", "/c": b"c"})
    world.code("run.sh", UPPER)
    world.create("upper", pfs_input("images"), datum_tries=2)
    good = world.run_one()
    world.code("run.sh", 'test -e "$PFS/images/b" && echo broken $images >&2 && exit 3\n' + UPPER)
    job = world.run_one()
    assert (job.state, job.counters) == (JobState.FAILURE, Counters(total=3, processed=2, failed=1))
    (bad,) = (datum for datum in world.jobs.datums("upper", job.id) if datum.state == DatumState.FAILED)
    assert (bad.exit_code, bad.tries, bad.inputs[0].path) == (3, 2, "/b")
    assert job.reason.startswith(f"datum {bad.id} failed: ")
    assert "broken" in bad.log_tail
    lines = world.jobs.logs("upper", job=job.id, datum=bad.id[:12])
    assert next(line.message for line in lines if line.stream == "stderr").startswith("broken ")
    # The head stays at the last good commit; the failed one can be read by its id.
    assert world.store.repo("upper")["master"].info.id == good.id
    failed = world.store.repo("upper").inspect(job.id)
    assert failed.error == job.reason
    assert set(world.output("upper", job.id)) == {"/a", "/c"}
    assert world.run().jobs == ()

    world.put("images", {"/d": b"d", "/b": b"fine"})
    world.code("run.sh", 'test -e "$PFS/images/b" && echo broken $images >&2 && exit 3\n' + UPPER)
    job = world.run_one()
    assert job.counters == Counters(total=4, processed=1, skipped=2, failed=1)
    world.put("images", {"/b": None})
    assert world.run_one().counters == Counters(total=3, skipped=3)
    assert world.output("upper") == {"/a": b"A", "/c": b"C", "/d": b"D"}


@pytest.mark.row(
    "2.2 transform.err_cmd",
    "2.2 transform.accept_return_code",
    "2.4 recovered datums",
    "2.6 recovered",
    "2.6 state RECOVERED",
    "2.6 exit codes",
)
def test_recovered_and_accepted_datums(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b", "/c": b"c"})
    world.code(
        "run.sh", 'cp "$PFS"/images/* "$PFS_OUT"; case $images in */a) exit 0;; */b) exit 4;; */c) exit 5;; esac\n'
    )
    world.create(
        "some",
        pfs_input("images"),
        transform={"err_cmd": ["true"], "accept_return_code": [4]},
        datum_tries=1,
    )
    job = world.run_one()
    assert (job.state, job.counters) == (JobState.SUCCESS, Counters(total=3, processed=2, recovered=1))
    assert world.output("some") == {"/a": b"a", "/b": b"b"}
    world.put("images", {"/d": b"d"})
    assert world.run_one().counters == Counters(total=4, processed=1, skipped=2, recovered=1)


@pytest.mark.row("2.9 output provenance", "2.9 spec provenance", "2.9 set id of outputs")
def test_chained_pipelines_share_the_id_and_know_where_it_came_from(world: World) -> None:
    world.code("list.sh", 'ls "$PFS/upper" > "$PFS_OUT/names"\n')
    world.put("images", {"/a": b"a"})
    upper = world.create("upper", pfs_input("images"))
    names = world.create("names", pfs_input("upper", "/"), cmd=["sh", "list.sh"])
    commit = world.put("images", {"/b": b"b"})
    report = world.run()
    assert [job.pipeline for job in report.jobs] == ["upper", "upper", "names", "names"] or len(report.jobs) == 4
    assert world.output("names") == {"/names": b"a\nb\n"}
    head = world.store.repo("names").inspect("master")
    assert head.id == commit.id
    assert {tuple(source) for source in head.provenance} == {
        ("upper", "master", commit.id),
        ("names", ".spec", names.spec_commit),
    }
    source = world.store.repo("upper").inspect(commit.id)
    assert ("upper", ".spec", upper.spec_commit) in {tuple(one) for one in source.provenance}


@pytest.mark.row("2.3 inputs of two pipelines", "2.9 diamonds")
def test_the_two_ways_of_a_diamond_meet_in_one_job(world: World) -> None:
    world.code("copy.sh", 'for f in "$PFS"/images/*; do cp "$f" "$PFS_OUT"; done\n')
    world.code("join.sh", 'cat "$PFS"/left/* "$PFS"/right/* > "$PFS_OUT/all"\n')
    world.create("left", pfs_input("images"), cmd=["sh", "copy.sh"])
    world.create("right", pfs_input("images"), cmd=["sh", "copy.sh"])
    world.create("both", {"cross": [pfs_input("left", "/"), pfs_input("right", "/")]}, cmd=["sh", "join.sh"])
    commit = world.put("images", {"/a": b"one"})
    report = world.run()
    assert sorted(job.pipeline for job in report.jobs) == ["both", "left", "right"]
    assert {job.id for job in report.jobs} == {commit.id}
    assert world.output("both") == {"/all": b"oneone"}


@pytest.mark.row("2.5 state UNRUNNABLE", "2.5 unrunnable reason", "2.5 cascade")
def test_what_reads_a_failed_output_is_unrunnable(world: World) -> None:
    world.code("fail.sh", "exit 1\n")
    world.put("images", {"/a": b"a"})
    world.create("bad", pfs_input("images"), cmd=["sh", "fail.sh"], datum_tries=1)
    world.create("after", pfs_input("bad"), cmd=["sh", "fail.sh"])
    world.create("last", pfs_input("after"), cmd=["sh", "fail.sh"])
    report = world.run()
    assert [(job.pipeline, job.state) for job in report.jobs] == [
        ("bad", JobState.FAILURE),
        ("after", JobState.UNRUNNABLE),
        ("last", JobState.UNRUNNABLE),
    ]
    assert "bad@master" in report.jobs[1].reason
    assert world.run().jobs == ()


@pytest.mark.row("2.5 one job a commit", "2.5 order of ends")
def test_each_commit_makes_a_job_in_order(world: World) -> None:
    world.create("upper", pfs_input("images"))
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(3)]
    assert [job.id for job in world.run().jobs] == commits


@pytest.mark.row("2.6 one path of two datums", "2.6 path handed over")
def test_two_datums_that_write_one_path_fail_the_job(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b"})
    world.code("run.sh", 'mkdir "$PFS_OUT/d"; cp "$PFS"/images/* "$PFS_OUT/d/same"\n')
    world.create("one", pfs_input("images"))
    job = world.run_one()
    assert job.state == JobState.FAILURE
    ids = sorted(datum.id[:12] for datum in world.jobs.datums("one", job.id))
    assert job.reason == f"datums {ids[0]} and {ids[1]} both wrote /d/same: each path may come from one datum only"
    world.put("images", {"/b": None})
    assert world.run_one().counters == Counters(total=1, skipped=1)
    assert world.output("one") == {"/d/same": b"a"}
    # A path may pass from a datum that is gone to another, and a new datum collides with an unchanged one too.
    world.put("images", {"/a": None, "/b": b"b"})
    assert world.run_one().state == JobState.SUCCESS
    assert world.output("one") == {"/d/same": b"b"}
    world.put("images", {"/c": b"c"})
    assert "both wrote /d/same" in world.run_one().reason


def test_a_file_below_a_file_fails_the_job(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b"})
    world.code(
        "run.sh", 'case $images in */a) echo > "$PFS_OUT/x";; *) mkdir "$PFS_OUT/x"; echo > "$PFS_OUT/x/y";; esac\n'
    )
    world.create("one", pfs_input("images"))
    job = world.run_one()
    assert job.state == JobState.FAILURE
    of = {datum.inputs[0].path: datum.id[:12] for datum in world.jobs.datums("one", job.id)}
    assert job.reason.startswith(f"/x of datum {of['/a']} and /x/y of datum {of['/b']} cannot both exist"), job.reason


@pytest.mark.row("2.2 job_timeout", "2.5 killed by job_timeout", "2.5 state KILLED")
def test_a_job_that_takes_too_long_is_killed(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b"})
    world.code("run.sh", "case $images in */b) exec sleep 600;; esac\n" + UPPER)
    world.create("slow", pfs_input("images"), job_timeout="1s", datum_set_spec={"number": 1})
    job = world.run_one()
    assert job.state == JobState.KILLED
    assert "job_timeout" in job.reason
    assert world.store.repo("slow").inspect(job.id).error == job.reason
    assert {datum.state for datum in world.jobs.datums("slow", job.id)} <= {"starting", "success"}


@pytest.mark.row("2.2 reprocess_spec", "2.5 no datums")
def test_no_datums_is_success_and_every_job_runs_all(world: World) -> None:
    world.put("images", {"/a": b"a"})
    world.create("none", pfs_input("images", "/*.jpg"))
    world.create("every", pfs_input("images"), reprocess_spec="every_job")
    assert {job.pipeline: job.counters for job in world.run().jobs} == {
        "none": Counters(),
        "every": Counters(total=1, processed=1),
    }
    world.put("images", {"/b": b"b"})
    assert {job.pipeline: job.counters for job in world.run("every").jobs} == {"every": Counters(total=2, processed=2)}
    assert [job.pipeline for job in world.run().jobs] == ["none"]


def test_naming_a_pipeline_runs_what_it_depends_on(world: World) -> None:
    world.code("copy.sh", 'cp "$PFS"/upper/* "$PFS_OUT"\n')
    world.put("images", {"/a": b"a"})
    for name, source in (("upper", "images"), ("copy", "upper"), ("other", "images")):
        world.create(name, pfs_input(source), cmd=["sh", "run.sh" if source == "images" else "copy.sh"])
    assert [job.pipeline for job in world.run("copy").jobs] == ["upper", "copy"]
    with pytest.raises(NotFoundError, match="nosuch"):
        world.run("nosuch")


def test_the_events_of_a_job_can_be_replayed(world: World) -> None:
    world.put("images", {"/a": b"a", "/b": b"b"})
    world.create("upper", pfs_input("images"))
    job = world.run_one()
    meta = world.store.repo("upper")[".meta"]
    record = decode_job(meta.read("/" + job_key(job.id).decode()), where="test")
    replayed = replay(decode_events(record.events))
    assert (replayed.outcome, replayed.counters) == (JobState.SUCCESS, job.counters)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("pipeline.json", b"nonsense"),
        ("spec.json", b'{"pipeline": {"name": "bad"}, "transform": {"cmd": ["true"]}, "input": {"cross": []}}'),
        ("spec.json", b"[]"),
        ("spec.json", b"\xff"),
    ],
)
def test_a_damaged_pipeline_is_named_and_the_others_run(world: World, file: str, data: bytes) -> None:
    world.put("images", {"/a": b"a"})
    for name in ("good", "bad", "after"):
        world.create(name, pfs_input("bad" if name == "after" else "images"))
    world.damage("bad", file, data)
    report = world.run()
    assert [job.pipeline for job in report.jobs] == ["good"]
    assert report.damaged == ("bad",)
    (told,) = (event for event in world.events if isinstance(event, events.Trouble))
    assert told.pipeline == "bad"
    assert f"bad@{world.store.repo('bad').inspect('.spec').id}:/{file}" in told.message
    assert {info.name: info.state for info in world.pipelines.list()} == {
        "good": "idle",
        "after": "idle",
        "bad": "damaged",
    }
    assert [job.pipeline for job in world.jobs.jobs()] == ["good"]
    assert world.pipelines.inspect("good").last_job_state == JobState.SUCCESS
    assert (world.run("good").damaged, world.run("after").damaged) == ((), ("bad",))
    with pytest.raises(CorruptionError, match=file):
        world.run("bad")


def cut_refs(world: World, repo: str) -> None:
    path = world.store.path / "objects" / "refs" / f"{repo}.json"
    path.write_bytes(path.read_bytes()[:100])


def test_refs_that_cannot_be_read_hinder_only_who_reads_them(world: World) -> None:
    for repo in ("images", "words", "unrelated"):
        world.put(repo, {"/a": b"a"})
    world.create("bad", pfs_input("images"))
    world.create("after", pfs_input("bad"))
    world.create("good", pfs_input("words"))
    world.run()
    world.put("words", {"/b": b"b"})
    cut_refs(world, "unrelated")
    report = world.run("good")
    assert ([job.pipeline for job in report.jobs], report.damaged) == (["good"], ())
    world.put("words", {"/c": b"c"})
    cut_refs(world, "bad")
    report = world.run()
    assert ([job.pipeline for job in report.jobs], report.damaged) == (["good"], ("after", "bad", "unrelated"))
    told = [event.pipeline for event in world.events if isinstance(event, events.Trouble)]
    assert sorted(told) == ["after", "bad", "unrelated"]
    assert {info.name: info.state for info in world.pipelines.list()} == {
        "good": "idle",
        "after": "idle",
        "bad": "damaged",
        "unrelated": "damaged",
    }
    told_of = {info.name: info.alerts for info in world.pipelines.list()}
    assert told_of["after"] == world.pipelines.inspect("after").alerts
    assert told_of["after"][0].startswith("its input bad cannot be read: damaged data in refs/bad.json")
    with pytest.raises(CorruptionError, match="refs/bad"):
        world.run("bad")
    with pytest.raises(CorruptionError, match="refs/bad"):
        world.pipelines.inspect("bad")
    assert {job.pipeline for job in world.jobs.jobs()} == {"good", "after"}
    world.pipelines.delete("after")
    world.pipelines.delete("good")
    with pytest.raises(ConflictError, match="input of 'bad', which cannot be read"):
        world.store.delete_repo("images")
    world.store.delete_repo("images", force=True)


class Server:
    """A controller that serves in a thread."""

    def __init__(self, world: World) -> None:
        self.stop = threading.Event()
        self.told: list[events.RunEvent] = []
        self._changed = threading.Condition()
        controller = world.make_controller()
        self.thread = threading.Thread(target=lambda: controller.serve(self.stop, on_event=self._take))
        self.thread.start()
        locks = HolderLocks(world.store.path / "run")
        while not locks.any_alive():
            self.stop.wait(0.01)

    def _take(self, event: events.RunEvent) -> None:
        with self._changed:
            self.told.append(event)
            self._changed.notify_all()

    def wait(self, wanted: Callable[[events.RunEvent], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(wanted, self.told)), timeout=60), self.told

    def end(self) -> None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def ended(job: str) -> Callable[[events.RunEvent], bool]:
    return lambda event: isinstance(event, events.JobFinished) and event.job.id == job


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    made = Server(world)
    yield made
    made.end()


def test_a_daemon_runs_jobs_as_commits_arrive(world: World, server: Server) -> None:
    world.create("upper", pfs_input("images"))
    for number in range(2):
        commit = world.put("images", {"/a": b"x%d" % number})
        server.wait(ended(commit.id))
        assert world.output("upper") == {"/a": b"X%d" % number}


def test_a_daemon_passes_over_a_damaged_pipeline(world: World, server: Server) -> None:
    world.create("bad", pfs_input("images"))
    world.create("upper", pfs_input("images"))
    world.damage("bad", "spec.json", b"{")
    commit = world.put("images", {"/a": b"x"})
    server.wait(ended(commit.id))
    assert world.output("upper") == {"/a": b"X"}
    server.wait(lambda event: isinstance(event, events.Trouble) and event.pipeline == "bad")
    report = world.run()
    assert report.damaged == ("bad",)
    assert sum(isinstance(event, events.Trouble) for event in world.events) == 1


def test_a_daemon_tells_once_of_refs_that_cannot_be_read(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.put("unrelated", {"/a": b"x"})
    cut_refs(world, "unrelated")
    server = Server(world)
    try:
        for data in (b"x", b"y"):
            commit = world.put("images", {"/a": data})
            server.wait(ended(commit.id))
    finally:
        server.end()
    assert [event.pipeline for event in server.told if isinstance(event, events.Trouble)] == ["unrelated"]


class Other:
    """The controller of another process, stood in for by one that has the lease before it runs."""

    def __init__(self, world: World) -> None:
        self._controller = world.make_controller()
        assert self._controller._lease.acquire()

    def run(self) -> None:
        assert self._controller._run_here((), events.ignore).jobs

    def end(self) -> None:
        self._controller._lease.release()


def test_a_job_that_ends_while_the_other_controller_goes_is_reported(world: World) -> None:
    world.put("images", {"/a": b"x"})
    first = world.create("upper", pfs_input("images"), datum_tries=1)
    other = Other(world)
    told: list[events.RunEvent] = []

    def tell(event: events.RunEvent) -> None:
        told.append(event)
        if isinstance(event, events.Attached):
            other.run()
        elif isinstance(event, events.JobFinished) and len(finished(told)) == 1:
            # Between what the watcher has read and its next look: the second job fails and its controller is gone.
            world.code("run.sh", "exit 1\n")
            world.pipelines.update(world.spec("upper", pfs_input("images"), datum_tries=1), base_dir=world.folder)
            other.run()
            other.end()

    report = world.controller.run_pending(on_event=tell)
    assert first.version == 1
    assert [job.state for job in report.jobs] == [JobState.SUCCESS, JobState.FAILURE]
    assert [job.state for job in finished(told)] == [JobState.SUCCESS, JobState.FAILURE]


def finished(told: list[events.RunEvent]) -> list[JobInfo]:
    return [event.job for event in told if isinstance(event, events.JobFinished)]


def test_run_beside_a_daemon_shows_its_progress(world: World, server: Server) -> None:
    world.create("upper", pfs_input("images"))
    world.put("images", {"/a": b"x"})
    report = world.run()
    assert isinstance(world.events[0], events.Attached)
    assert [job.state for job in report.jobs] in ([JobState.SUCCESS], [])
    assert world.output("upper") == {"/a": b"X"}
    with pytest.raises(ConflictError, match="another controller"):
        world.make_controller().serve(threading.Event())


@pytest.mark.row("2.5 killed by update", "2.8 update")
def test_an_update_ends_the_job_that_runs(world: World, server: Server) -> None:
    world.put("images", {"/a": b"x"})
    world.code("run.sh", "exec sleep 600\n")
    world.create("upper", pfs_input("images"))
    server.wait(lambda event: isinstance(event, events.JobPlanned))
    world.code("run.sh", UPPER)
    world.pipelines.update(world.spec("upper", pfs_input("images")), base_dir=world.folder)
    server.wait(lambda event: isinstance(event, events.JobFinished) and event.job.state == JobState.SUCCESS)
    states = [job.state for job in world.jobs.jobs("upper")]
    assert states == [JobState.SUCCESS, JobState.KILLED]


def test_deleting_a_pipeline_ends_its_job(world: World, server: Server) -> None:
    world.put("images", {"/a": b"x"})
    world.code("run.sh", "exec sleep 600\n")
    world.create("upper", pfs_input("images"))
    server.wait(lambda event: isinstance(event, events.JobPlanned))
    world.pipelines.delete("upper")
    told = "the pipeline was deleted, and with it the job that ran"
    server.wait(lambda event: event == events.Trouble("upper", told))
    world.code("run.sh", UPPER)
    world.create("next", pfs_input("images"))
    server.wait(lambda event: isinstance(event, events.JobFinished) and event.job.pipeline == "next")


@pytest.mark.row("2.10 follow", "2.10 by job")
def test_a_running_job_is_seen_with_its_log(world: World, server: Server) -> None:
    world.put("images", {"/a": b"x"})
    world.code("run.sh", "echo hello >&2; exec sleep 600\n")
    world.create("upper", pfs_input("images"))
    server.wait(lambda event: isinstance(event, events.JobPlanned))
    while not (said := [line for line in world.jobs.logs("upper") if line.stream == "stderr"]):
        server.stop.wait(0.02)
    assert [line.message for line in said] == ["hello"]
    assert world.pipelines.inspect("upper").state == "running"
    (job,) = world.jobs.jobs()
    assert (job.state, job.data_total) == (JobState.RUNNING, 1)
    assert list(world.jobs.datums("upper", job.id)) == []
    followed = world.jobs.logs("upper", follow=True)
    assert next(line for line in followed if line.stream == "stderr").message == "hello"
    world.code("run.sh", UPPER)
    world.pipelines.update(world.spec("upper", pfs_input("images")), base_dir=world.folder)
    assert [line.message for line in followed if line.stream == "stderr"] == []
    assert world.jobs.job("upper", job.id).state == JobState.KILLED
