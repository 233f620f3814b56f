"""What fails in one thread must not leave a hole in a pack that another thread then fills, seals and indexes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pfs.backends.base import Buffer
from pfs.backends.local import LocalBackend, LocalObject
from pfs.errors import StorageError
from pfs.ids import ChunkId
from pfs.packs import session_data
from pfs.packs.pack import PackWriter
from pfs.packs.session_data import StagedRecord
from tests.pfs.bytes_world import World, as_spans, noise, with_ids

CHUNK = 50_000


@pytest.mark.parametrize("how", ["short write", "interrupt", "columns"])
def test_a_failed_write_ends_the_pack_for_every_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 0)
    monkeypatch.setattr(session_data, "PACK_BYTES", 6 * CHUNK)
    (tmp_path / "objects").mkdir()
    world = World(tmp_path, LocalBackend(tmp_path / "objects"))
    session = world.session()
    first, *others = (with_ids([noise(CHUNK, seed)]) for seed in range(12))
    failed = with_ids([noise(CHUNK, 20), noise(CHUNK, 21)])
    session.put_chunks(first)
    real_of, real_write, real_append = session._records.of, LocalObject.write, PackWriter._append

    def fail(object: LocalObject, *buffers: Buffer) -> None:
        real_write(object, bytes(memoryview(buffers[0])[:10]))  # as a disk that is full takes a part
        raise StorageError("write", "injected")

    def interrupt(writer: PackWriter, header: bytes, payload: Buffer, rows: list[bytes]) -> None:
        if rows[0][:32] == failed[1][0]:  # by Ctrl-C, say, between two records of a batch
            raise KeyboardInterrupt
        real_append(writer, header, payload, rows)

    def put_failing() -> int:
        if how == "columns":
            return session.put_spans(as_spans([data for _, data in failed]))
        return session.put_chunks(failed)

    def while_another_fails(fresh: Sequence[tuple[ChunkId, Buffer]]) -> list[StagedRecord]:
        """Return the records of the thread that goes on, which looked whether the session is whole before this."""
        monkeypatch.setattr(session._records, "of", real_of)
        with monkeypatch.context() as patch:
            if how == "interrupt":
                patch.setattr(PackWriter, "_append", interrupt)
            else:
                patch.setattr(LocalObject, "write", fail)
            with pytest.raises((StorageError, KeyboardInterrupt)):
                put_failing()
        return real_of(fresh)

    monkeypatch.setattr(session._records, "of", while_another_fails)
    with suppress(StorageError):
        session.put_chunks([chunk for one in others for chunk in one])
    session.abandon()

    again = world.session()
    chunks = [chunk for one in (first, failed, *others) for chunk in one]
    again.put_chunks(chunks)
    world.commit(again)
    assert world.objects.chunks([(id, len(data)) for id, data in chunks]) == [data for _, data in chunks]
