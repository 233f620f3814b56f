"""What to delete and what to write again: the pure decision."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.gc.condemn import SMALL_BYTES, SMALL_PACKS, condemn
from pfs.gc.survey import PackFacts
from pfs.ids import PackId

MIB = 1 << 20


def facts(number: int, *, kind: str = "d", size: int = 64 * MIB, live: float = 1.0, age: int = 0) -> PackFacts:
    pack = PackId(number.to_bytes(16, "big"))
    live_entries = 0 if live == 0 else 100
    return PackFacts(pack, kind, f"packs/{number}", size, age, 100, live_entries, int(live * (size - 96)))


def test_dead_packs_go_and_thin_ones_are_written_again() -> None:
    packs = [facts(1, live=0), facts(2, live=0.5), facts(3, live=0.9), facts(4, live=1)]
    decision = condemn(packs, now_ns=0)
    assert decision.delete == (packs[0],)
    assert decision.repack == (packs[1],)


def test_few_small_packs_are_left_and_many_are_joined() -> None:
    few = [facts(number, kind="m", size=MIB) for number in range(SMALL_PACKS - 1)]
    assert not condemn(few, now_ns=0).packs
    other_kind = facts(50, size=MIB)
    assert not condemn([*few, other_kind], now_ns=0).packs, "kinds are counted apart"
    many = [*few, facts(60, kind="m", size=MIB)]
    assert set(condemn(many, now_ns=0).repack) == set(many)


def test_small_packs_full_of_tiny_chunks_are_left() -> None:
    packs = [replace(facts(number, size=MIB), entries=1 << 18) for number in range(20)]
    assert not condemn(packs, now_ns=0).packs


def test_young_and_leased_packs_are_left() -> None:
    packs = [facts(1, live=0, age=100), facts(2, live=0, age=50), facts(3, live=0, age=50)]
    decision = condemn(packs, now_ns=120, min_age_ns=30, leased={packs[2].pack})
    assert decision.packs == (packs[1],)
    assert len(condemn(packs, now_ns=0).packs) == 3, "no age asked for: no clock looked at"


PACKS = st.lists(
    st.tuples(
        st.sampled_from("dm"),
        st.sampled_from([1 * MIB, SMALL_BYTES, 64 * MIB]),
        st.sampled_from([0, 0.3, 0.79, 0.81, 1]),
    ),
    max_size=40,
)


@given(PACKS)
def test_it_ends_within_the_promise_and_finds_nothing_the_second_time(shape: list[tuple[str, int, float]]) -> None:
    packs = [facts(number, kind=kind, size=size, live=live) for number, (kind, size, live) in enumerate(shape)]
    decision = condemn(packs, now_ns=0)
    assert len({one.pack for one in decision.packs}) == len(decision.packs)
    after = [one for one in packs if one not in decision.packs]
    moved = sum(one.live_bytes for one in decision.repack)
    whole, rest = divmod(moved, 64 * MIB)
    made = [facts(1000 + number) for number in range(whole)]
    if decision.repack:  # the last one of each kind may be small
        made += [facts(2000, size=max(rest, 1), kind="d"), facts(2001, size=MIB, kind="m")]
    assert not condemn([*after, *made], now_ns=0).packs
    live = sum(one.live_bytes for one in packs)
    assert sum(one.size for one in after) + moved <= 1.3 * live + 100 * len(packs)


DAY_NS = 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("storage_class", "days"),
    [("STANDARD_IA", 30), ("ONEZONE_IA", 30), ("GLACIER_IR", 90), ("INTELLIGENT_TIERING", 0), ("COLD_OF_OURS", 0)],
)
def test_packs_in_the_cold_are_written_again_when_their_time_is_over(storage_class: str, days: int) -> None:
    since_ns = 1000 * DAY_NS
    thin, dead = (
        replace(facts(n, live=live, age=since_ns), storage_class=storage_class) for n, live in ((1, 0.5), (2, 0))
    )
    for passed, repack in ((days * DAY_NS - 1, ()), (days * DAY_NS, (thin,))):
        decision = condemn([thin, dead], now_ns=since_ns + passed)
        assert decision.delete == (dead,), "billed either way"
        if passed >= 0:
            assert decision.repack == repack
            assert decision.cold == (() if repack else (thin,))


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_packs_in_an_archive_are_never_written_again_but_for_a_purge(storage_class: str) -> None:
    thin = replace(facts(1, live=0.5), storage_class=storage_class)
    purged = replace(facts(2, live=0.9), storage_class=storage_class, shred=True)
    decision = condemn([thin, purged], now_ns=10_000 * DAY_NS)
    assert (decision.repack, decision.cold) == ((purged,), (thin,))


def test_packs_in_the_cold_are_not_small() -> None:
    packs = [replace(facts(number, size=MIB), storage_class="STANDARD_IA") for number in range(3 * SMALL_PACKS)]
    assert not condemn(packs, now_ns=10_000 * DAY_NS).packs
