"""The comparison of a job with what there is, against a dict that does the same."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from pps.datums.plan import columns, compare, digest_values, digests, order_of, places

# Few values, so that equal ones meet; some end in zero bytes, which NumPy's strings drop.
_digest = st.sampled_from(
    [bytes([value]) * 32 for value in range(6)] + [b"\x07" + bytes(31), bytes([7, 1]) + bytes(30)]
)
_jobs = st.dictionaries(_digest, _digest, max_size=8)


@given(_jobs, _jobs, st.booleans())
def test_compare_is_what_a_dict_would_say(new: dict[bytes, bytes], base: dict[bytes, bytes], every_job: bool) -> None:
    ours, theirs = columns(new.items()), columns(base.items())
    plan = compare(ours, theirs, every_job=every_job)
    run = {one for one, flag in zip(digest_values(ours.ids), plan.run, strict=True) if flag}
    assert run == {one for one in new if every_job or base.get(one) != new[one]}
    there = list(digest_values(theirs.ids))
    for one, at in zip(digest_values(ours.ids), plan.source, strict=True):
        assert (there[at] == one) if base.get(one) == new[one] else (at == -1)
    assert set(digest_values(plan.gone)) == set(base) - set(new)
    assert plan.run_count == len(run)


@given(_jobs)
def test_columns_are_sorted_and_whole(pairs: dict[bytes, bytes]) -> None:
    found = columns(pairs.items())
    assert list(digest_values(found.ids)) == sorted(pairs)
    assert [pairs[one] for one in digest_values(found.ids)] == list(digest_values(found.hashes))


@given(st.lists(_digest, max_size=12), st.lists(_digest, max_size=12))
def test_digests_are_ordered_and_found_as_strings_are(wanted: list[bytes], there: list[bytes]) -> None:
    column = digests(b"".join(there))
    assert list(digest_values(column[order_of(column)])) == sorted(there)
    at = places(digests(b"".join(wanted)), digests(b"".join(sorted(there))))
    assert at.tolist() == [bisect_left(sorted(there), one) for one in wanted]


@given(st.lists(st.binary(min_size=32, max_size=32), unique=True), st.lists(st.binary(min_size=32, max_size=32)))
def test_digests_that_differ_from_the_start_are_too(there: list[bytes], wanted: list[bytes]) -> None:
    test_digests_are_ordered_and_found_as_strings_are.hypothesis.inner_test(wanted + there[:3], there)
