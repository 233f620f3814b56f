"""Objects whose bytes are in an archive of the bucket behind the store: what an S3 client is answered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.refs.tiering import Rule
from pfs.tiers.tier import tier
from tests.pfs.bucket_world import World, use_bucket
from tests.pfs.machines import machines
from tests.s3api.conftest import Server, running

DAY_S = 86_400.0
BODY = random.Random(1).randbytes(4_400_000)


@pytest.fixture
def behind(bucket_served: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The bucket behind the gateway, not one of those it serves."""
    with use_bucket(bucket_served, monkeypatch):
        yield bucket_served


@pytest.fixture
def gateway(behind: World, tmp_path: Path) -> Iterator[Server]:
    """A gateway on a store whose only large file is in an archive."""
    with machines(behind, tmp_path, cache_bytes=0) as machine:
        store = machine("one")
        with store.create_repo("data").commit("master") as commit:
            commit.put_file("/large", BODY)
            commit.put_file("/small", b"small")
        with store.repo("data").commit("master") as commit:
            commit.put_file("/other", b"other")
        behind.later_s = 100 * DAY_S
        list(store.backend.entries("config.json"))
        assert tier(store, Rule(storage_class="GLACIER", heads=True)).packs == 1
        with running(machine("one")) as live:
            yield live


@pytest.mark.parametrize("spread", [{}, {"Range": "bytes=4000000-4000010"}])
def test_a_get_is_answered_as_aws_does(behind: World, gateway: Server, spread: dict[str, str]) -> None:
    """403 InvalidObjectState, before any byte; the restore is begun, and the object is there when that is done."""
    with behind.slow_restore():
        reply = gateway.request("GET", "/data/large", headers=spread)
        assert (reply.status, reply.code) == (403, "InvalidObjectState")
        assert [one.query for one in behind.asked if one.query == "restore"] == ["restore"]
        assert gateway.request("HEAD", "/data/large").status == 200, "names, sizes and dates are in no archive"
        assert gateway.request("GET", "/data/other").body == b"other"
        assert gateway.request("GET", "/data?list-type=2").body.count(b"<Key>") == 3
    reply = gateway.request("GET", "/data/large", headers=spread)
    assert reply.status == (206 if spread else 200)
    assert reply.body == (BODY[4_000_000:4_000_011] if spread else BODY)


def test_what_is_archived_can_be_put_again(behind: World, gateway: Server) -> None:
    with behind.slow_restore():
        assert gateway.request("PUT", "/data/again", body=BODY).status == 200
        assert gateway.request("GET", "/data/again").body == BODY
