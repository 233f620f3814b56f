"""What datums left that is in no tree yet: packed, a few hundred bytes a datum, until it is put there in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pfs.files.fileref import FileRef
from pfs.ids import CommitId, TreeId
from pfs.structs import ready
from pfs.trees.edit import DeleteTree, Edit, Put
from pfs.trees.page import Kind, pack_aux, unpack_aux
from pps.executor import OutputFile
from pps.model.records import log_key, out_key

MOST_BYTES: Final = 32 << 20
"""Packed bytes from which on it should be put into the tree: of some 200,000 datums with one file each."""
_ID_BYTES: Final = 32


class _File(msgspec.Struct, array_like=True, frozen=True):
    key: bytes
    kind: int
    size: int
    tid: bytes
    aux: bytes | None = None


class _Left(msgspec.Struct, array_like=True, frozen=True):
    """``outputs``: None where those that there are stay."""

    log: _File | None
    outputs: tuple[_File, ...] | None


_encoder = msgspec.msgpack.Encoder()


class Waiting:
    """Logs and outputs of datums of one job. One thread.

    Ids of datums are random, so some hundred of them meet every page of a large tree, which is then written again.
    In the order of their ids, all that wait meet each page once, in parts that need little memory.
    """

    def __init__(self, job: CommitId) -> None:
        self._job = job
        self._packed: list[bytes] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to put it all into the tree."""
        return self._bytes >= MOST_BYTES

    def add(self, datum: str, *, log: FileRef | None = None, outputs: Sequence[OutputFile] | None = None) -> None:
        """Take what a datum left; ``outputs`` take the place of all that it had before, None leaves that as it is."""
        kept = None if log is None else _File(b"", log.kind, log.size, log.tid)
        files = None if outputs is None else tuple(map(_packed, outputs))
        if kept is None and files is None:
            return
        packed = bytes.fromhex(datum) + _encoder.encode(_Left(kept, files))
        self._packed.append(packed)
        self._bytes += len(packed)

    def parts(self, most: int) -> Iterator[list[Edit]]:
        """Yield all edits in the order of the datums' ids, ``most`` at a time; those of one datum stay together."""
        part: list[Edit] = []
        for packed in sorted(self._packed, key=_id):
            part += self._edits(packed)
            if len(part) >= most:
                yield part
                part = []
        if part:
            yield part

    def clear(self) -> None:
        """Forget all: it is in the tree."""
        self._packed, self._bytes = [], 0

    def _edits(self, packed: bytes) -> Iterator[Edit]:
        datum = packed[:_ID_BYTES].hex()
        left = msgspec.msgpack.decode(memoryview(packed)[_ID_BYTES:], type=ready(_Left))
        if left.log is not None:
            yield _put(log_key(self._job, datum), left.log)
        if left.outputs is not None:
            folder = out_key(datum)
            yield DeleteTree(folder)
            yield from (_put(folder + b"/" + file.key, file) for file in left.outputs)


def _id(packed: bytes) -> bytes:
    return packed[:_ID_BYTES]


def _packed(output: OutputFile) -> _File:
    aux = {**(output.aux or {}), "x": True} if output.executable else output.aux
    return _File(output.key, output.ref.kind, output.ref.size, output.ref.tid, pack_aux(aux))


def _put(key: bytes, file: _File) -> Put:
    return Put(key, Kind(file.kind), file.size, TreeId(file.tid), unpack_aux(file.aux))
