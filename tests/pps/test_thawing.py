"""Jobs whose inputs are in an archive: they ask for all of it, wait, say so, and go on when it is restored."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import ThawingError
from pfs.refs.tiering import Rule
from pfs.store import Store
from pfs.tiers.tier import tier
from pps.controller import Controller, local_executors
from pps.jobs.jobs import Jobs
from pps.model import events
from pps.model.state import JobState
from tests.pfs.bucket_world import World as Bucket
from tests.pfs.machines import machines
from tests.pps.pipe_world import World, pfs_input

DAY_S = 86_400.0
FILES = ("/a", "/b", "/c")
DEEP = Rule(storage_class="DEEP_ARCHIVE", heads=True)


def body(name: str) -> bytes:
    return random.Random(name).randbytes(4_400_000)


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> Iterator[Store]:
    """A store with three files, each in a pack of its own in an archive, and no cache."""
    with machines(bucket, tmp_path, cache_bytes=0) as machine:
        store = machine("one")
        repo = store.create_repo("images")
        for name in FILES:
            with repo.commit("master") as commit:
                commit.put_file(name, body(name))
        bucket.later_s = 100 * DAY_S
        list(store.backend.entries("config.json"))
        assert tier(store, DEEP).packs == 3
        yield machine("one")


def asked_for(bucket: Bucket) -> int:
    return len({one.key for one in bucket.asked if one.query == "restore"})


@pytest.mark.parametrize("lazy", [False, True])
def test_a_job_waits_until_its_inputs_are_restored(
    bucket: Bucket, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    """Nothing fails: the job is shown as thawing, has asked for every pack it needs, and ends well afterwards."""
    monkeypatch.setattr("pps.controller._RETRY_S", 0.01)
    world = World(tmp_path / "one", store)
    world.code("run.sh", 'cat /pfs/images/* | wc -c | tr -d " " > "/pfs/out/$(ls /pfs/images)"\n')
    given = pfs_input("images", lazy=True) if lazy else pfs_input("images")
    world.create("sizes", given, datum_tries=1, datum_set_spec={"number": 1})
    stop, met, ended, told = threading.Event(), threading.Event(), threading.Event(), list[events.RunEvent]()

    def tell(event: events.RunEvent) -> None:
        told.append(event)
        if isinstance(event, events.Trouble):
            met.set()
        if isinstance(event, events.JobFinished):
            ended.set()

    controller = Controller(store, local_executors(store, slots=1))
    served = threading.Thread(target=controller.serve, args=(stop,), kwargs={"on_event": tell})
    with bucket.slow_restore():
        served.start()
        assert met.wait(240)
        while not (seen := [job for job in Jobs(store).jobs("sizes") if job.reason.startswith("thawing: ")]):
            assert not stop.wait(0.02)
        assert not seen[0].state.is_final
        assert "0 of 3 packs can be read by now" in seen[0].reason
        assert asked_for(bucket) == 3, "all that the job needs, at once"
    try:
        while not ended.wait(0.5):  # what was restored is there, and the job's rest is over as often as it takes
            bucket.later_s += 600
            list(store.backend.entries("config.json"))
    finally:
        stop.set()
        served.join()
    (job,) = (event.job for event in told if isinstance(event, events.JobFinished))
    assert (job.state, job.data_processed, job.data_failed) == (JobState.SUCCESS, 3, 0)
    assert world.output("sizes") == dict.fromkeys(FILES, b"4400000\n")


def test_who_runs_pipelines_once_is_told(bucket: Bucket, store: Store, tmp_path: Path) -> None:
    """`pps run` does not wait for hours: it ends with what it waits for, and the job stays due."""
    world = World(tmp_path / "one", store)
    world.code("run.sh", 'cp /pfs/images/a "/pfs/out/a"\n')
    world.create("copy", pfs_input("images", "/a"))
    with bucket.slow_restore(), pytest.raises(ThawingError, match=r"pipeline copy has yet to read is being restored"):
        world.run()
    assert asked_for(bucket) == 1, "of what it does not read, nothing is asked for"
    assert world.run_one().state == JobState.SUCCESS
    assert world.output("copy") == {"/a": body("/a")}
