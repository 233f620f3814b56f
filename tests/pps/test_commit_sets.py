"""Commits taken out of the history of a pipeline's input and output together."""

from pathlib import Path

import pytest

from pfs.changes.squash import drop_set, squash_set
from pfs.errors import ConflictError
from pfs.upkeep.check import fsck
from tests.pps.pipe_world import UPPER, pfs_input, world_in


def test_a_set_leaves_input_and_output_together(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        world.code("run.sh", UPPER)
        made = [world.put("images", {"/a": b"0"}).id]
        world.create("upper", pfs_input("images"))
        world.run_one()
        for number in (1, 2):
            made.append(world.put("images", {f"/{number}": b"x"}).id)
            world.run_one()
        images, upper = world.store.repo("images"), world.store.repo("upper")
        for act in (images.squash_commit, images.drop_commit):
            with pytest.raises(ConflictError):
                act(made[1])
        assert [info.repo for info in squash_set(world.store, made[1])] == ["upper", "images"]
        assert [info.id for info in images.commits("master")] == [made[2], made[0]]
        assert [info.id for info in upper.commits("master")] == [made[2], made[0]]
        assert world.run().jobs == ()
        assert [info.repo for info in drop_set(world.store, made[2])] == ["upper", "images"]
        assert world.output("upper") == {"/a": b"0"}
        world.put("images", {"/b": b"late"})
        world.run()
        assert world.output("upper") == {"/a": b"0", "/b": b"LATE"}
        assert list(fsck(world.store, deep=True)) == []
