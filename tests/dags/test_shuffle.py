"""Shuffle: files of two repos under new names, by symbolic links to inputs that have no bytes."""

from __future__ import annotations

import random

from tests.dags.conftest import create, texts
from tests.pps.pipe_world import World

PICTURES = {name: random.Random(name).randbytes(300_000) for name in ("apple", "kiwi", "mango")}


def pictures(*names: str) -> dict[str, bytes | None]:
    return {f"/{name}.jpeg": PICTURES[name] for name in names}


def prices(**cents: int) -> dict[str, bytes | None]:
    return {f"/{name}.json": f'{{"cents": {price}}}'.encode() for name, price in cents.items()}


def pack_bytes(world: World) -> int:
    return sum(path.stat().st_size for path in (world.folder / ".pfs").rglob("*") if path.is_file())


def test_files_are_put_together_by_name_without_their_bytes(world: World) -> None:
    world.put("fruits", pictures("apple", "kiwi"))
    world.put("pricing", prices(apple=150, kiwi=42))
    create(world.store, world.folder, "shuffle.json")
    before = pack_bytes(world)
    job = world.run_one()
    assert (job.state, job.data_processed, job.data_total) == ("success", 4, 4)
    assert world.output("shuffle") == {
        "/apple/cost.json": b'{"cents": 150}',
        "/apple/img.jpeg": PICTURES["apple"],
        "/kiwi/cost.json": b'{"cents": 42}',
        "/kiwi/img.jpeg": PICTURES["kiwi"],
    }
    assert pack_bytes(world) - before < 100_000, "the pictures are shared, not copied"
    assert all(datum.input_bytes == 0 for datum in world.jobs.datums("shuffle", job.id)), "nor were they read"


def test_only_new_and_changed_files_are_put_anew(world: World) -> None:
    world.put("fruits", pictures("apple", "kiwi"))
    world.put("pricing", prices(apple=150, kiwi=42))
    create(world.store, world.folder, "shuffle.json")
    world.run_one()
    world.put("fruits", pictures("mango"))
    job = world.run_one()
    assert (job.data_processed, job.data_skipped) == (1, 4)
    world.put("pricing", prices(kiwi=43))
    job = world.run_one()
    assert (job.data_processed, job.data_skipped) == (1, 4), "content counts, though the command does not see it"
    assert texts(world, "shuffle")["kiwi/cost.json"] == '{"cents": 43}'
    world.put("fruits", {"/apple.jpeg": None})
    world.put("pricing", {"/apple.json": None})
    world.run()
    assert sorted(texts(world, "shuffle")) == ["kiwi/cost.json", "kiwi/img.jpeg", "mango/img.jpeg"]
