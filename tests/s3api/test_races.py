"""Many clients on one key, through two gateways that are processes of their own: conditions hold among all of them."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier

import pytest

import pfs
from pfs.keys import Keys
from tests.s3api.conformance.uploads import begin
from tests.s3api.conformance.wire import Wire, texts
from tests.s3api.conftest import Reply, Server
from tests.s3api.processes import gateway_process

CLIENTS = 32


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Wire]]:
    """So many clients, of both gateways by turns."""
    folder = tmp_path_factory.mktemp("races")
    with pfs.init(folder / "home") as home, ExitStack() as stack:
        keys = Keys(home)
        urls = [stack.enter_context(gateway_process(home.path, folder / f"log{n}")).url for n in range(2)]
        servers = [Server(home, keys, url, *keys.root()) for url in urls]
        yield [stack.enter_context(closing(Wire(servers[n % 2]))) for n in range(CLIENTS)]


@pytest.fixture
def place(wires: list[Wire]) -> str:
    """The path of a bucket of the test's own."""
    name = f"r{uuid.uuid4().hex[:8]}"
    assert wires[0].put(f"/{name}").status == 200
    return f"/{name}"


def at_once(wires: Sequence[Wire], work: Callable[[Wire, int], Reply]) -> list[Reply]:
    """Let every client do its work, all beginning at the same moment."""
    barrier = Barrier(len(wires))

    def one(number: int) -> Reply:
        barrier.wait(60)
        return work(wires[number], number)

    with ThreadPoolExecutor(len(wires)) as pool:
        return list(pool.map(one, range(len(wires))))


def the_winner(replies: Sequence[Reply], *, lost: set[int]) -> int:
    """Return the one that won; all others must have been told so."""
    won = [number for number, reply in enumerate(replies) if reply.status < 300]
    assert len(won) == 1, [reply.status for reply in replies]
    assert {reply.status for reply in replies if reply.status >= 300} <= lost
    return won[0]


def versions(wire: Wire, place: str) -> int:
    reply = wire.get(f"{place}?versions&prefix=k")
    return len(texts(reply, "Version")) + len(texts(reply, "DeleteMarker"))


def test_one_creates(wires: list[Wire], place: str) -> None:
    for turn in (1, 2, 3):
        path = f"{place}/k{turn}"
        replies = at_once(wires, lambda wire, n, path=path: wire.put(path, b"%d" % n, {"If-None-Match": "*"}))  # type: ignore[misc]
        winner = the_winner(replies, lost={412})
        assert wires[0].get(path).body == wires[1].get(path).body == b"%d" % winner
        assert versions(wires[0], place) == turn


def test_one_completes(wires: list[Wire], place: str) -> None:
    uploads = [begin(wire, f"{place}/k") for wire in wires]
    for number, upload in enumerate(uploads):
        upload.put(1, b"%d" % number)
    replies = at_once(wires, lambda _, number: uploads[number].complete({"If-None-Match": "*"}))
    winner = the_winner(replies, lost={412})
    assert wires[0].get(f"{place}/k").body == b"%d" % winner
    left = texts(wires[0].get(f"{place}?uploads"), "Upload/UploadId")
    assert set(left) == {upload.id for upload in uploads} - {uploads[winner].id}


def test_one_of_writers_of_every_kind_creates(wires: list[Wire], place: str) -> None:
    wires[0].put(f"{place}/source", b"copied")
    uploads = {number: begin(wires[number], f"{place}/k") for number in range(0, CLIENTS, 4)}
    for upload in uploads.values():
        upload.put(1, b"completed")
    condition = {"If-None-Match": "*"}

    def write(wire: Wire, number: int) -> Reply:
        if number % 4 == 0:
            return uploads[number].complete(condition)
        if number % 4 == 1:
            return wire.put(f"{place}/k", b"", {**condition, "x-amz-copy-source": f"{place}/source"})
        return wire.put(f"{place}/k", b"put", condition)

    winner = the_winner(at_once(wires, write), lost={412})
    assert wires[0].get(f"{place}/k").body == {0: b"completed", 1: b"copied"}.get(winner % 4, b"put")
    assert versions(wires[0], place) == 1


def test_one_replaces_and_one_deletes(wires: list[Wire], place: str) -> None:
    tag = wires[0].put(f"{place}/k", b"base").headers["etag"]
    replies = at_once(wires, lambda wire, number: wire.put(f"{place}/k", b"%d" % number, {"If-Match": tag}))
    winner = the_winner(replies, lost={412})
    assert wires[0].get(f"{place}/k").body == b"%d" % winner
    tag = wires[0].head(f"{place}/k").headers["etag"]
    replies = at_once(wires, lambda wire, _: wire.delete(f"{place}/k", {"If-Match": tag}))
    the_winner(replies, lost={404, 412})
    assert wires[0].head(f"{place}/k").status == 404
    assert versions(wires[0], place) == 3


def test_no_increment_is_lost(wires: list[Wire], place: str) -> None:
    wires[0].put(f"{place}/k", b"0")

    def increment(wire: Wire, _: int) -> Reply:
        while True:
            got = wire.get(f"{place}/k")
            reply = wire.put(f"{place}/k", b"%d" % (int(got.body) + 1), {"If-Match": got.headers["etag"]})
            if reply.status != 412:
                return reply

    replies = at_once(wires, increment)
    assert {reply.status for reply in replies} == {200}
    assert wires[0].get(f"{place}/k").body == wires[1].get(f"{place}/k").body == b"%d" % CLIENTS
    assert versions(wires[0], place) == CLIENTS + 1
    assert len({reply.headers["x-amz-version-id"] for reply in replies}) == CLIENTS


def test_every_read_is_of_one_version(wires: list[Wire], place: str) -> None:
    """Some overwrite and delete, some copy, others read: bytes and ETag of an answer belong together."""
    bodies = [bytes([number]) * (300_000 + number) for number in range(8)]
    wires[0].put(f"{place}/k", bodies[0])

    def work(wire: Wire, number: int) -> Reply:
        if number < 4:
            for turn in range(6):
                reply = wire.delete(f"{place}/k") if turn == 3 else wire.put(f"{place}/k", bodies[number + turn % 4])
            return reply
        for _ in range(6):
            reply = wire.get(f"{place}/k")
            if reply.status == 200:
                assert reply.headers["etag"] == f'"{hashlib.md5(reply.body, usedforsecurity=False).hexdigest()}"'
            else:
                assert reply.code == "NoSuchKey"
        return reply

    replies = at_once(wires[:16], work)
    assert {reply.status for reply in replies} <= {200, 204, 404}


@pytest.mark.parametrize("change", ["put", "delete"])
def test_a_read_under_way_goes_on_with_its_version(wires: list[Wire], place: str, change: str) -> None:
    server, path = wires[0].server, f"{place}/k"
    data = os.urandom(24 << 20)
    wires[0].put(path, data)
    with closing(server.connect()) as connection:
        connection.request("GET", path, headers=server.sign("GET", path, {}))
        response = connection.getresponse()
        first = response.read(100)
        assert (wires[1].put(path, b"new") if change == "put" else wires[1].delete(path)).status in {200, 204}
        assert first + response.read() == data
    assert wires[0].get(path).status == (200 if change == "put" else 404)
