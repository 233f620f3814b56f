"""An upload that is completed more than once becomes one version: at once, after a crash, over other writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

import pfs
from pfs.backends.local import LocalBackend
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from tests.s3api.conftest import running
from tests.s3api.test_list_versions import put, versions

CLIENTS = 6


@pytest.fixture
def clients(home: Store) -> Iterator[list[BaseClient]]:
    """Clients of two gateways, each with a store of its own on the same folder."""
    home.create_repo("r").create_branch("master")
    with ExitStack() as stack:
        stores = [stack.enter_context(pfs.open(home.path)) for _ in range(2)]
        servers = [stack.enter_context(running(store)) for store in stores]
        yield [stack.enter_context(closing(servers[n % 2].client())) for n in range(CLIENTS)]


def begin(s3: BaseClient, key: str = "k", body: bytes = b"parts") -> dict[str, object]:
    """Upload all but the end; return what completes it."""
    place = {"Bucket": "r", "Key": key, "UploadId": s3.create_multipart_upload(Bucket="r", Key=key)["UploadId"]}
    tag = s3.upload_part(**place, PartNumber=1, Body=body)["ETag"]
    return {**place, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": tag}]}}


def complete(s3: BaseClient, wanted: dict[str, object], **conditions: str) -> str:
    return str(s3.complete_multipart_upload(**wanted, **conditions)["VersionId"])


@pytest.mark.parametrize("conditions", [{}, {"IfNoneMatch": "*"}], ids=["plain", "create"])
def test_at_the_same_time_through_two_processes(clients: list[BaseClient], conditions: dict[str, str]) -> None:
    for turn in range(4):
        key = f"k{turn}"
        wanted = begin(clients[0], key)
        with ThreadPoolExecutor(CLIENTS) as pool:
            found = set(pool.map(lambda s3, wanted=wanted: complete(s3, wanted, **conditions), clients))
        assert len(found) == 1
        assert [(one, version) for one, version, *_ in versions(clients[0], "r", Prefix=key)] == [(key, found.pop())]


def test_while_others_write_the_key(clients: list[BaseClient]) -> None:
    for turn in range(4):
        key = f"k{turn}"
        wanted = begin(clients[0], key)

        def work(number: int, key: str = key, wanted: dict[str, object] = wanted) -> str:
            s3 = clients[number]
            return complete(s3, wanted) if number < 3 else put(s3, "r", key, b"%d" % number)

        with ThreadPoolExecutor(CLIENTS) as pool:
            found = list(pool.map(work, range(CLIENTS)))
        assert len(set(found[:3])) == 1
        assert sorted(version for _, version, *_ in versions(clients[0], "r", Prefix=key)) == sorted({*found})


def test_with_other_parts_there_is_no_such_upload(clients: list[BaseClient]) -> None:
    s3 = clients[0]
    wanted = begin(s3)
    other = s3.upload_part(**{n: wanted[n] for n in ("Bucket", "Key", "UploadId")}, PartNumber=2, Body=b"other")["ETag"]
    version = complete(s3, wanted)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        complete(s3, {**wanted, "MultipartUpload": {"Parts": [{"PartNumber": 2, "ETag": other}]}})
    assert complete(s3, wanted) == version


def test_in_an_open_commit(clients: list[BaseClient], home: Store) -> None:
    opened = home.repo("r").start_commit("master")
    wanted = begin(clients[0])
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert set(pool.map(lambda s3: complete(s3, wanted), clients)) == {opened.id}
    home.repo("r").finish_commit("master")
    assert [one[1] for one in versions(clients[0], "r")] == [opened.id]


def test_a_failed_condition_is_no_completion(clients: list[BaseClient]) -> None:
    s3 = clients[0]
    first = put(s3, "r", "k")
    wanted = begin(s3)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        complete(s3, wanted, IfNoneMatch="*")
    between = put(s3, "r", "k", b"between")
    last = complete(s3, wanted)
    assert [one[1] for one in versions(s3, "r")] == [last, between, first]


@pytest.mark.parametrize(
    ("how", "overwritten"),
    [
        (How.AFTER, True),
        pytest.param(How.AFTER, False, marks=pytest.mark.long),
        pytest.param(How.BEFORE, True, marks=pytest.mark.long),
        pytest.param(How.BEFORE, False, marks=pytest.mark.long),
    ],
)
def test_killed_at_any_write_and_completed_again(tmp_path: Path, how: How, *, overwritten: bool) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        place = tmp_path / f"{fail_at}"
        with pfs.init(place) as store:
            store.create_repo("r").create_branch("master")
            with running(store) as server, closing(server.client()) as s3:
                wanted = begin(s3)
        backend = FaultyBackend(LocalBackend(place / ".pfs/objects"), fail_at=fail_at, how=how, dead_after=True)
        with Store(place / ".pfs", backend=backend) as store, running(store) as server, closing(server.client()) as s3:
            first = _tried(s3, wanted)
        with pfs.open(place) as store, running(store) as server, closing(server.client()) as s3:
            between = [put(s3, "r", "k", b"between")] if overwritten else []
            last = complete(s3, wanted)
            listed = versions(s3, "r")
            assert [version for _, version, *_ in listed] in ([*between, last], [last, *between])
            assert first in {None, last}
            assert s3.get_object(Bucket="r", Key="k", VersionId=last)["Body"].read() == b"parts"
            assert complete(s3, wanted) == last
            assert len(versions(s3, "r")) == len(listed)
        if backend.calls < fail_at:
            assert first == last
            return


def _tried(s3: BaseClient, wanted: dict[str, object]) -> str | None:
    try:
        return complete(s3, wanted)
    except (ClientError, BotoCoreError):
        return None
