"""Egress by the real engine: to folders and to S3, what is sent again, and what becomes of trouble and stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from pfs.errors import InvalidInputError, NotFoundError, StorageError
from pfs.store import init
from pps.model import events
from pps.model.catalog import Catalog
from pps.model.records import encode_json
from pps.model.state import JobState
from pps.scheduling.egressing import Egressing
from pps.secret_store import Secrets
from pps.spec.places import split
from pps.transfers.errors import PlaceRefusedError, Stopped
from tests.cli.processes import Served, serving
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in
from tests.pps.standing_world import killed_controller

if TYPE_CHECKING:
    from botocore.client import BaseClient


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "far away"


def create(world: World, place: Path, **more: object) -> None:
    world.create("upper", pfs_input("images"), egress={"URL": place.as_uri()}, **more)  # type: ignore[arg-type]


def there(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_an_output_is_sent_before_the_job_succeeds(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1", "/b": b"two"})
    create(world, place)
    job = world.run_one()
    assert job.state == "success"
    assert there(place) == {"a": b"1", "b": b"TWO"}
    record = world.store.repo("upper")[".meta"].read(f"/jobs/{job.id}/job.json")
    assert b"Egressed" in record


def test_only_what_changed_or_is_gone_is_sent_again(world: World, place: Path) -> None:
    world.put("images", {f"/{name}": b"1" for name in "abc"})
    create(world, place)
    world.run_one()
    (place / "b").unlink()
    (place / "mine").write_bytes(b"stays")
    before = {path.name: path.stat().st_ino for path in place.iterdir()}
    world.put("images", {"/c": b"2", "/a": None, "/d": b"3"})
    world.run_one()
    assert there(place) == {"a": b"1", "b": b"1", "c": b"2", "d": b"3", "mine": b"stays"}
    world.put("images", {"/d": b"4"})
    world.run_one()
    after = {path.name: path.stat().st_ino for path in place.iterdir()}
    assert before["a"] == after["a"], "what is there is left alone"
    assert there(place)["d"] == b"4"


def test_another_place_gets_everything(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    world.run_one()
    other = place.with_name("other")
    spec = world.spec("upper", pfs_input("images"), egress={"object_storage": {"url": other.as_uri()}})
    world.pipelines.update(spec, base_dir=world.folder)
    world.run()
    assert there(other) == {"a": b"1"}


def test_nothing_is_sent_of_a_job_that_fails_or_has_no_output(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    world.code("run.sh", "true\n")
    create(world, place, datum_tries=1)
    assert world.run_one().state == "success"
    world.code("run.sh", UPPER + "exit 1\n")
    assert world.run_one().state == "failure"
    assert not place.exists()


def serve(world: World, on_event: events.OnEvent) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=world.make_controller().serve, args=(stop,), kwargs={"on_event": on_event})
    thread.start()
    return thread, stop


def test_trouble_is_shown_and_tried_again(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    place.write_text("a file is in the way")
    ended, told = threading.Event(), []

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            told.append(event.message)
            place.unlink(missing_ok=True)
        elif isinstance(event, events.JobFinished):
            ended.set()

    thread, stop = serve(world, tell)
    ended.wait()
    stop.set()
    thread.join()
    assert told[0].startswith("egress: cannot write")
    (job,) = world.jobs.jobs("upper")
    assert (job.state, job.reason, job.data_processed) == ("success", "", 1)
    assert there(place) == {"a": b"1"}


@pytest.mark.row("2.5 state EGRESSING")
def test_a_job_is_stopped_while_it_sends(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    place.write_text("a file is in the way")
    troubled, ended = threading.Event(), threading.Event()

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            troubled.set()
        elif isinstance(event, events.JobFinished):
            ended.set()

    thread, stop = serve(world, tell)
    troubled.wait()
    while not (job := next(world.jobs.jobs("upper"))).reason:
        pass
    assert job.state == JobState.EGRESSING
    assert job.reason.startswith("egress: cannot write")
    assert world.pipelines.inspect("upper").alerts == (f"its job {job.id} is egressing: {job.reason}",)
    world.jobs.stop_job("upper", job.id)
    ended.wait()
    stop.set()
    thread.join()
    (job,) = world.jobs.jobs("upper")
    assert (job.state, job.reason) == ("killed", "it was stopped")
    assert world.store.repo("upper").branch("master").head is None
    place.unlink()
    world.pipelines.rerun("upper")
    again = world.run_one()
    assert (again.state, again.data_skipped) == ("success", 1), "what the datums made was kept"
    assert there(place) == {"a": b"1"}


class Crash(BaseException):
    pass


def test_a_job_whose_controller_died_goes_on_with_sending(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    place.write_text("a file is in the way")

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            raise Crash

    with pytest.raises(Crash):
        world.make_controller().run_pending((), on_event=tell)
    place.unlink()
    job = world.run_one()
    assert (job.state, job.restart, job.data_processed) == ("success", 1, 1)
    assert there(place) == {"a": b"1"}
    ran = [one for one in world.events if isinstance(one, events.DatumFinished)]
    assert ran == [], "its datum did not run again"


def run_until_trouble(world: World) -> None:
    """Run a controller, and end it in good order as soon as it told of trouble."""
    troubled = threading.Event()

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            troubled.set()

    thread, stop = serve(world, tell)
    troubled.wait()
    stop.set()
    thread.join()


def test_a_job_that_was_left_while_it_sent_is_shown_as_it_was(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    place.write_text("a file is in the way")
    for _ in range(3):
        run_until_trouble(world)
        (job,) = world.jobs.jobs("upper")
        assert (job.state, job.data_processed, job.data_total) == ("egressing", 1, 1)
        assert job.reason.startswith("egress: cannot write")
        assert job.reason.endswith("no controller here runs it: the next one goes on with it")
        (info,) = world.pipelines.list()
        assert (info.state, info.last_job_state) == ("pending", "egressing")
        assert info.alerts == (f"its job {job.id} is egressing: {info.trouble}",)
        assert info.trouble.startswith("egress: cannot write")
    place.unlink()
    assert world.run_one().id == job.id
    assert world.pipelines.inspect("upper").alerts == ()


def test_a_job_that_was_left_stays_beside_that_of_the_next_version(world: World, place: Path) -> None:
    world.put("images", {"/a": b"1"})
    create(world, place)
    place.write_text("a file is in the way")
    run_until_trouble(world)
    (left,) = world.jobs.jobs("upper")
    other = place.with_name("other")
    spec = world.spec("upper", pfs_input("images"), egress={"URL": other.as_uri()})
    assert world.pipelines.update(spec, base_dir=world.folder).alerts == ()
    (old,) = world.jobs.jobs("upper")
    shown = (left.id, JobState.KILLED, 1, "it was interrupted, and is not due any more")
    assert (old.id, old.state, old.version, old.reason) == shown
    done = world.run_one()
    assert (done.state, done.version, done.data_skipped) == ("success", 2, 1)
    new, old = world.jobs.jobs("upper")
    assert new == done
    assert (old.id, old.state, old.version, old.reason) == shown
    assert new.id != old.id
    assert world.jobs.job("upper", left.id).state == JobState.KILLED
    assert there(other) == {"a": b"1"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("far")
    with init(home) as store:
        store.create_repo("lake").create_branch("master")
    with serving(home, "--no-pipelines", "--no-upkeep") as served:
        yield served


BIG = 'head -c 20000000 /dev/zero > "$PFS_OUT/big.bin"; echo 1 > "$PFS_OUT/t.csv"; cp "$PFS"/images/* "$PFS_OUT"\n'


def test_to_s3_with_endpoint_and_credentials_of_a_secret(world: World, gateway: Served) -> None:
    settings = {
        "AWS_ENDPOINT_URL": gateway.url,
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "AWS_REGION": "us-east-1",
    }
    Secrets(world.store).create("lake", {name: value.encode() for name, value in settings.items()})
    world.put("images", {"/a ü": b"1"})
    world.code("big.sh", BIG)
    egress = {"object_storage": {"url": "s3://lake/to here/", "secret": {"name": "lake"}}}
    world.create("big", pfs_input("images", "/"), ["sh", "big.sh"], egress=egress)  # type: ignore[arg-type]
    assert world.run_one().state == "success"
    client = boto3.client(
        "s3",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
    )
    try:
        listed = client.list_objects_v2(Bucket="lake")["Contents"]
        first = {one["Key"]: (one["Size"], one["LastModified"]) for one in listed}
        assert {key: size for key, (size, _) in first.items()} == {
            "to here/a ü": 1,
            "to here/big.bin": 20_000_000,
            "to here/t.csv": 2,
        }
        assert client.head_object(Bucket="lake", Key="to here/t.csv")["ContentType"] == "text/csv"
        assert client.list_multipart_uploads(Bucket="lake").get("Uploads", []) == []
        world.put("images", {"/a ü": b"2"})
        client.delete_object(Bucket="lake", Key="to here/t.csv")
        assert world.run_one().state == "success"
        listed = client.list_objects_v2(Bucket="lake")["Contents"]
        second = {one["Key"]: (one["Size"], one["LastModified"]) for one in listed}
        assert second.keys() == first.keys()
        assert second["to here/big.bin"] == first["to here/big.bin"], "it was not sent again"
        assert client.get_object(Bucket="lake", Key="to here/a ü")["Body"].read() == b"2"
    finally:
        client.close()
    record = next(one for one in Catalog(world.store).get("big").jobs)
    assert gateway.secret_key.encode() not in encode_json(record)


def settings_of(gateway: Served) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": gateway.url,
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "AWS_REGION": "us-east-1",
    }


def client_of(gateway: Served) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
    )


@pytest.mark.long
def test_a_controller_that_is_killed_in_the_middle_of_sending(tmp_path: Path, gateway: Served) -> None:
    """Kill it at the first sign of an object of the new commit, ten times; the destination is whole at the end."""
    home, prefix = tmp_path / "home", "killed"
    with world_in(home) as world, closing(client_of(gateway)) as client:
        Secrets(world.store).create("lake", {name: value.encode() for name, value in settings_of(gateway).items()})
        world.code("run.sh", 'for n in $(seq 40); do (cat "$PFS"/images/a; echo $n) > "$PFS_OUT/$n"; done\n')
        egress = {"object_storage": {"url": f"s3://lake/{prefix}", "secret": {"name": "lake"}}}
        world.put("images", {"/a": b"0" * 200_000})
        world.create("upper", pfs_input("images"), egress=egress)  # type: ignore[arg-type]

        def sent() -> dict[str, str]:
            listed = client.list_objects_v2(Bucket="lake", Prefix=f"{prefix}/").get("Contents", [])
            return {one["Key"].rpartition("/")[2]: one["ETag"] for one in listed}

        for number in range(10):
            body = bytes([65 + number]) * 200_000
            commit = world.put("images", {"/a": body})
            before = sent()
            with killed_controller(world):
                while sent() == before:
                    pass
            found = [job for job in world.jobs.jobs("upper") if job.id == commit.id]
            assert all(job.state in {"egressing", "finishing", "success"} for job in found)
        world.run()
        newest = next(world.jobs.jobs("upper"))
        assert (newest.state, newest.id) == ("success", commit.id)
        assert sent().keys() == {str(number) for number in range(1, 41)}
        for number in range(1, 41):
            there = client.get_object(Bucket="lake", Key=f"{prefix}/{number}")["Body"].read()
            assert there == body + b"%d\n" % number
        assert client.list_multipart_uploads(Bucket="lake").get("Uploads", []) == []
        assert world.run().jobs == ()


def test_a_secret_that_is_missing_or_says_too_much_is_refused(world: World) -> None:
    world.put("images", {"/a": b"1"})
    egress = {"object_storage": {"url": "s3://lake", "secret": {"name": "lake"}}}
    with pytest.raises(NotFoundError, match="lake"):
        world.create("upper", pfs_input("images"), egress=egress)  # type: ignore[arg-type]
    Secrets(world.store).create("lake", {"password": b"x"})
    with pytest.raises(InvalidInputError, match="the key 'password'"):
        world.create("upper", pfs_input("images"), egress=egress)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["gs://b", "s3://", "s3:///x", "s3://u@b/x", "s3://b/x?y", "file://host/x", "file:x", "x"]
)
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(InvalidInputError):
        split(url)


class Scripted:
    """A sender whose tries end as they are told to."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.ends, self.abandoned = list(ends), 0

    def send(self, stop: threading.Event) -> None:
        end = self.ends.pop(0)
        if end is not None:
            raise end

    def abandon(self) -> None:
        self.abandoned += 1


def ended(sender: Scripted) -> Egressing:
    over = threading.Event()
    sending = Egressing(sender, lambda: over.set() if not sending.trouble else None, first_s=0.0)
    sending.start()
    over.wait()
    sending.stop()
    return sending


def test_a_refusal_is_given_up_after_four_tries_in_a_row_and_nothing_stays() -> None:
    no = PlaceRefusedError("write s3://b/k", "S3 answered 403 AccessDenied")
    sender = Scripted(no, no, no, StorageError("write s3://b/k", "nobody answers"), no, no, no, no)
    sending = ended(sender)
    assert sending.refusal == "egress: cannot write s3://b/k: S3 answered 403 AccessDenied"
    assert (sender.abandoned, sender.ends, sending.is_done) == (1, [], False)


@pytest.mark.parametrize("goes_on", [True, False])
def test_parts_stay_for_the_next_controller_and_for_nobody_else(goes_on: bool) -> None:
    class Waiting(Scripted):
        def send(self, stop: threading.Event) -> None:
            begun.set()
            stop.wait()
            raise Stopped

    begun, sender = threading.Event(), Waiting()
    sending = Egressing(sender, lambda: None)
    sending.start()
    begun.wait()
    assert sending.stop(goes_on=goes_on)
    assert sending.stop()
    assert (sender.abandoned, sending.is_done, sending.failure) == (0 if goes_on else 1, False, None)


def test_trouble_is_no_refusal_however_often() -> None:
    sender = Scripted(*[StorageError("write s3://b/k", "nobody answers")] * 9, None)
    sending = ended(sender)
    assert (sending.is_done, sending.refusal, sender.abandoned) == (True, "", 0)


def test_a_defect_is_kept_for_the_caller() -> None:
    woken = threading.Event()

    sending = Egressing(Scripted(ZeroDivisionError()), woken.set)
    sending.start()
    woken.wait()
    assert isinstance(sending.failure, ZeroDivisionError)
    assert not sending.is_done
    sending.stop()
