"""The code of versions as it is laid out: one copy of what is the same, for as long as somebody has it."""

from __future__ import annotations

from pathlib import Path

from pps.model.catalog import Catalog
from pps.scheduling.codedir import TREES, drop_other_code, lay_out_code
from tests.pps.pipe_world import World, pfs_input, world_in


def laid_out(world: World, name: str) -> Path:
    return lay_out_code(world.store, world.store.path / "run", Catalog(world.store).get(name))


def copies(world: World) -> int:
    return len(list((world.store.path / "run/code" / TREES).iterdir()))


def test_the_same_code_is_there_once(tmp_path: Path) -> None:
    with world_in(tmp_path / "home") as world:
        world.store.create_repo("r")
        tool = world.folder / "tool.sh"
        tool.write_text("echo one\n")
        for name in ("a", "b", "c"):
            world.create(name, pfs_input("r"), ["sh", "tool.sh"], {"code": ["tool.sh"]})
        a, b = laid_out(world, "a"), laid_out(world, "b")
        assert (a / "tool.sh").samefile(b / "tool.sh")
        assert (laid_out(world, "a"), copies(world)) == (a, 1)

        tool.chmod(0o755)
        world.pipelines.update(Catalog(world.store).get("c").spec, base_dir=world.folder, reprocess=True)
        c = laid_out(world, "c")
        assert (c / "tool.sh").stat().st_mode & 0o111
        assert not (a / "tool.sh").stat().st_mode & 0o111
        assert copies(world) == 2

        tool.write_text("echo two\n")
        world.pipelines.refresh_code("a")
        fresh = laid_out(world, "a")
        drop_other_code(fresh)
        assert not a.is_symlink()
        assert (b / "tool.sh").read_text() == "echo one\n"
        assert copies(world) == 3

        world.pipelines.refresh_code("b")
        drop_other_code(laid_out(world, "b"))
        assert (copies(world), (fresh / "tool.sh").read_text()) == (2, "echo two\n")

        world.pipelines.delete("c")
        tool.write_text("echo three\n")
        world.pipelines.refresh_code("a")
        laid_out(world, "a")
        assert not c.exists()
        assert copies(world) == 2
