"""Facts about commits that outgrow refs: the same answers whether the body or an object has them."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, MissingObjectError
from pfs.ids import CommitId, PackId
from pfs.refs.body import RefsBody
from pfs.refs.edges import (
    Edge,
    edge_of,
    edges_to,
    record_home,
    record_homes,
    squashed,
    squashed_into,
    trimmed,
    with_edges,
    with_records,
    without_facts,
)
from pfs.refs.facts import ID, LIMIT, NOTHING, PREFIX, Fact, Shelf, Value, absorbed, decode, facts
from pfs.refs.swap import Refs
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import fsck

GOLDEN = Path(__file__).parents[1] / "data" / "refs_facts_v1.bin"


def commit(number: int) -> CommitId:
    return CommitId(f"{number * 0x9E3779B97F4A7C15 % (1 << 128):032x}")


def golden() -> bytes:
    items = [
        (Fact.SQUASHED, bytes(range(16)), Value(ID, bytes(range(16, 32)))),
        (Fact.EDGE, bytes(15) + b"\x07", Value(NOTHING)),
        (Fact.EDGE, b"\xff" * 16, Value(ID, bytes(16))),
        (Fact.RECORD, bytes(16), Value(ID, b"p" * 16)),
    ]
    return facts(items).encode()


def test_the_golden_file() -> None:
    assert golden() == GOLDEN.read_bytes()
    held = decode(GOLDEN.read_bytes(), where="golden")
    assert held.find(Fact.EDGE, bytes(15) + b"\x07") == Value(NOTHING)
    assert held.find(Fact.EDGE, bytes(16)) is None
    assert held.find(Fact.RECORD, bytes(16)) == Value(ID, b"p" * 16)
    assert list(held.all(Fact.EDGE)) == [(bytes(15) + b"\x07", Value(NOTHING)), (b"\xff" * 16, Value(ID, bytes(16)))]
    assert held.naming(Fact.EDGE, bytes(16)) == [b"\xff" * 16]


def test_every_flipped_byte_is_corruption() -> None:
    data = golden()
    for at in (place for place in range(len(data)) if not 8 <= place < 16):  # those are kept for later
        with pytest.raises(CorruptionError):
            decode(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], where="x")
    with pytest.raises(CorruptionError):
        decode(data[:20], where="x")


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["edge", "root", "record", "squash", "forget"]), st.integers(0, 12), st.integers(0, 12)),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 5))
def test_facts_are_those_of_a_dictionary(steps: list[Step], limit: int) -> None:
    shelf, body = Shelf(MemoryBackend()), RefsBody()
    edges: dict[CommitId, CommitId | None] = {}
    records: dict[CommitId, PackId] = {}
    taken: dict[CommitId, CommitId] = {}
    for number, (kind, a, b) in enumerate(steps):
        one, other = commit(a), commit(b)
        if kind in ("edge", "root"):
            edges[one] = other if kind == "edge" else None
            body = with_edges(body, {one: edges[one]})
        elif kind == "record":
            records[one] = PackId(b.to_bytes(16, "big"))
            body = with_records(body, {one: records[one]})
        elif kind == "squash":
            taken[one] = other
            body = RefsBody(
                **{f: getattr(body, f) for f in body.__struct_fields__} | {"squashed": {**body.squashed, one: other}}
            )
        else:
            body = without_facts(body, [one])
            edges.pop(one, None)
            records.pop(one, None)
        if number % 3 == limit % 3:
            body = trimmed(body, "r", shelf, limit=limit)
    for id in map(commit, range(13)):
        assert edge_of(body, id) == (Edge(edges[id]) if id in edges else None)
        assert record_home(body, id) == records.get(id)
        assert squashed_into(body, id) == taken.get(id)
        assert edges_to(body, id) == sorted(child for child, above in edges.items() if above == id)
    assert record_homes(body) == records
    assert squashed(body) == taken


def test_older_objects_are_few_and_facts_are_written_a_few_times() -> None:
    sizes: list[int] = []
    written = 0
    for _ in range(1_000):
        kept = absorbed(sizes, LIMIT)
        sizes = [*sizes[:kept], sum(sizes[kept:]) + LIMIT]
        written += sizes[-1]
    assert sum(sizes) == 1_000 * LIMIT
    assert len(sizes) <= 6
    assert written <= 20 * 1_000 * LIMIT


def test_a_hundred_thousand_facts_leave_refs_small() -> None:
    backend = MemoryBackend()
    refs = Refs(backend)
    refs.create("r", description="", now_ns=1)
    ids = [commit(number) for number in range(100_001)]
    random.Random(1).shuffle(ids)
    for start in range(0, 100_000, 20_000):
        part = dict(zip(ids[start : start + 20_000], ids[start + 1 : start + 20_001], strict=True))
        refs.update("r", lambda body, part=part: with_edges(body, dict(part)))  # type: ignore[misc]  # bound now
    found = backend.read("refs/r.json")
    assert found is not None
    assert len(found[0]) < 2_000
    body = Refs(backend).read("r").body
    for number in range(0, 100_000, 997):
        assert edge_of(body, ids[number]) == Edge(ids[number + 1])
        assert edges_to(body, ids[number + 1]) == [ids[number]]
    assert edge_of(body, ids[100_000]) is None


def put(repo: Repo, number: int) -> CommitId:
    with repo.commit("master") as writer:
        writer.put_file("/n", b"%d" % number)
    return writer.id


def test_squash_goes_on_where_facts_are_in_objects(store: Store, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.refs.edges.LIMIT", 3)
    made = [put(repo, number) for number in range(12)]
    for number in (3, 4, 5, 9, 1, 2):
        repo.squash_commit(made[number])
    assert store.refs.read("data").body.older
    left = [made[number] for number in (11, 10, 8, 7, 6, 0)]
    assert [info.id for info in repo.commits("master")] == left
    assert {info.id for info in repo.commits()} == set(left)
    assert repo.inspect(made[3]).id == made[6]
    assert repo.inspect(made[1]).id == made[6]
    assert list(fsck(store)) == []
    store.history.rebuild()
    assert repo["master^2"].read("/n") == b"8"


def test_a_lost_or_damaged_object_is_damage(store: Store, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.refs.edges.LIMIT", 0)
    made = [put(repo, number) for number in range(3)]
    repo.squash_commit(made[1])
    (name,) = [entry.name for entry in store.backend.entries(PREFIX)]
    place = store.path / "objects" / name
    whole = place.read_bytes()
    for bad, error in ((whole[:-1], CorruptionError), (None, MissingObjectError)):
        place.unlink()
        if bad is not None:
            place.write_bytes(bad)
        with Store(store.path) as fresh:
            with pytest.raises(error):
                list(fresh.repo("data").commits())
            assert [damage.kind for damage in fsck(fresh)] == ["refs"]
        place.write_bytes(whole)
