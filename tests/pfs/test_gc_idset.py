"""Sets of ids: against plain sets, in memory and on disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.gc import idset
from pfs.gc.idset import KEY, PREFIX, IdSet, Scratch, keys, prefixes

BATCHES = st.lists(st.lists(st.binary(min_size=32, max_size=32), max_size=40), max_size=12)


def column(ids: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(ids), "V32")


@pytest.mark.parametrize(("dtype", "cut"), [(PREFIX, prefixes), (KEY, keys)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=BATCHES, more=st.lists(st.binary(min_size=32, max_size=32)))
def test_a_set_is_a_set(tmp_path: Path, dtype: np.dtype, cut, batches: list[list[bytes]], more: list[bytes]) -> None:
    model = set[bytes]()
    with Scratch(tmp_path) as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(idset, "_PIECE", 3)
        patch.setattr(idset, "_BUFFER", 8)
        tested = IdSet(scratch, dtype, spill_bytes=100)
        for number, batch in enumerate(batches):
            cut_ids = [id[: dtype.itemsize] for id in batch]
            if number % 2:
                new = cut(column(batch))[tested.add_new(cut(column(batch)))]
                assert [row.tobytes() for row in new] == [
                    row.tobytes() for row in np.unique(cut(column(batch))) if row.tobytes() not in model
                ]
            else:
                tested.add(cut(column(batch)))
            model.update(cut_ids)
        asked = more + [id for batch in batches for id in batch]
        assert tested.contains(cut(column(asked))).tolist() == [id[: dtype.itemsize] in model for id in asked]
        assert len(tested) == len(model)
    assert not list(tmp_path.iterdir()), "what was spilled is gone"


def test_large_runs_are_on_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with Scratch(tmp_path) as scratch:
        tested = IdSet(scratch, spill_bytes=1 << 16)
        added = [rng.integers(0, 1 << 63, 40_000, dtype=np.uint64) for _ in range(20)]
        for ids in added:
            tested.add(ids)
        everything = np.concatenate(added)
        assert tested.contains(everything).all()
        assert not tested.contains(everything + np.uint64(1 << 63)).any()
        assert any(isinstance(run, np.memmap) for run in tested._runs)
