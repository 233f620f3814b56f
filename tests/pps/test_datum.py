"""Datum ids and hashes: what they depend on and what not, and that they stay what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pfs.ids import NO_PAGE, CommitId, TreeId
from pfs.trees.page import Kind
from pfs.trees.tree import Row
from pps.datums.datum import Datum, DatumDigests, Item, datum_hash, datum_id, transform_digest
from pps.spec import PfsInput, Transform
from pps.spec.task import ArtifactOut, Task

GOLDEN = Path(__file__).parent.parent / "data" / "datum_digests.json"
LEAF = PfsInput("in", "images", "master", "/*")
ONE, TWO = TreeId(b"\x01" * 32), TreeId(b"\x02" * 32)


def datum(
    key: bytes = b"a", tid: TreeId = ONE, leaf: PfsInput = LEAF, *, commit: str = "0" * 32, size: int = 1
) -> Datum:
    return (Item(leaf, CommitId(commit), Row(key, Kind.FILE, size, tid, 1, NO_PAGE, None, None)),)


def hash_of(one: Datum, *, transform: bytes = b"t", salt: str = "") -> bytes:
    return datum_hash(datum_id(one), one, transform=transform, salt=salt)


def test_the_id_says_which_paths_and_nothing_else() -> None:
    identity = datum_id(datum())
    assert datum_id(datum(tid=TWO, commit="1" * 32, size=7)) == identity
    others = [
        datum(b"b"),
        datum(leaf=replace(LEAF, name="other")),
        datum(leaf=replace(LEAF, repo="other")),
        datum(leaf=replace(LEAF, branch="other")),
        datum() + datum(),
        (),
    ]
    assert len({identity, *(datum_id(other) for other in others)}) == len(others) + 1
    assert datum_id(datum(leaf=replace(LEAF, glob="/a", empty_files=True))) == identity


def test_parts_cannot_run_into_each_other() -> None:
    assert datum_id(datum(leaf=replace(LEAF, name="ab", repo="c"))) != datum_id(
        datum(leaf=replace(LEAF, name="a", repo="bc"))
    )


def test_the_hash_says_what_was_in_them_and_what_is_done() -> None:
    same = hash_of(datum())
    assert hash_of(datum(commit="1" * 32, size=7)) == same
    changed = [
        hash_of(datum(tid=TWO)),
        hash_of(datum(b"b")),
        hash_of(datum(), transform=b"u"),
        hash_of(datum(), salt="s"),
    ]
    assert len({same, *changed}) == 5


def test_reference_inputs_do_not_count_into_the_hash() -> None:
    leaf = replace(LEAF, reference=True)
    assert hash_of(datum(leaf=leaf)) == hash_of(datum(leaf=leaf, tid=TWO))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([LEAF, replace(LEAF, name="n", reference=True), replace(LEAF, s3=True), replace(LEAF)]),
            st.binary(min_size=1, max_size=9),
            st.sampled_from([ONE, TWO]),
        ),
        max_size=6,
    ),
    st.binary(max_size=4),
    st.text(max_size=4),
)
def test_many_at_once_have_the_ids_and_hashes_of_each(
    items: list[tuple[PfsInput, bytes, TreeId]], transform: bytes, salt: str
) -> None:
    digests = DatumDigests(transform=transform, salt=salt)
    whole = tuple(item for leaf, key, tid in items for item in datum(key, tid, leaf))
    every = [whole, *((item,) for item in whole), ()]
    ids = [datum_id(one) for one in every]
    hashes = [hash_of(one, transform=transform, salt=salt) for one in every]
    assert digests.of(every) == (b"".join(ids), b"".join(hashes))
    assert digests.of([]) == (b"", b"")


def test_the_transform_is_its_spec_and_its_code() -> None:
    plain = Transform(cmd=("python3", "a.py"))
    digests = {
        transform_digest(plain, {}),
        transform_digest(plain, {"a.py": ONE}),
        transform_digest(plain, {"a.py": TWO}),
        transform_digest(plain, {"b.py": ONE}),
        transform_digest(replace(plain, cmd=("python3", "a.py", "-v")), {"a.py": ONE}),
        transform_digest(replace(plain, env={"A": "1"}), {"a.py": ONE}),
        transform_digest(replace(plain, task=Task("w", "t")), {}),
        transform_digest(replace(plain, task=Task("w", "t", outputs=(ArtifactOut("o", "x"),))), {}),
    }
    assert len(digests) == 8
    assert transform_digest(plain, {"a": ONE, "b": TWO}) == transform_digest(plain, {"b": TWO, "a": ONE})


def test_digests_are_those_of_the_first_release() -> None:
    one = datum(b"dir/file.png") + datum(b"", TWO, replace(LEAF, name="all", glob="/"))
    transform = transform_digest(Transform(cmd=("sh",), stdin=("cat",), env={"K": "v"}), {"run.sh": ONE})
    found = {"id": datum_id(one).hex(), "transform": transform.hex()}
    found["hash"] = datum_hash(datum_id(one), one, transform=transform, salt="salt").hex()
    assert found == json.loads(GOLDEN.read_text())
