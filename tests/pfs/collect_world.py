"""What a collector does to packs, step by step, for tests of those who work beside it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from pfs.backends.base import Backend
from pfs.ids import PackId, new_pack_id
from pfs.packs.condemned import encode_list, list_name
from pfs.packs.index_rows import Location
from pfs.packs.pack import PackKind, PackWriter, RecordType, pack_name, parse_pack_name, read_footer
from pfs.packs.read import PackReader, Wanted
from pfs.refs import collection
from pfs.refs.collection import published


def packs(backend: Backend) -> dict[PackId, PackKind]:
    """All packs that there are."""
    parsed = (parse_pack_name(entry.name) for entry in backend.entries("packs/"))
    return dict(pack for pack in parsed if pack is not None)


def condemn(backend: Backend, listed: Collection[PackId]) -> int:
    """Publish a generation that condemns packs; they stay until `sweep`."""
    state, etag = collection.read(backend)
    kinds = packs(backend)
    name = list_name(state.gen + 1, uuid4().hex)
    assert backend.put_new(name, encode_list((pack, kinds.get(pack, "d")) for pack in listed))
    collection.swap(backend, etag, published(state, name))
    return state.gen + 1


def sweep(backend: Backend, listed: Collection[PackId]) -> None:
    """Delete packs."""
    backend.delete_many([pack_name(pack, kind) for pack in listed for kind in ("d", "m")])  # type: ignore[arg-type]


def repack(backend: Backend, old: PackId, *, ids: Collection[bytes] | None = None) -> PackId:
    """Copy the records of a pack (or just some) into a new one, and return it; chunks in blocks come out of them."""
    kind = packs(backend)[old]
    name, reader = pack_name(old, kind), PackReader(backend, block_bytes=1 << 20)
    writer = PackWriter(backend, kind, pack_id=new_pack_id(), created_ms=0)
    for entry in read_footer(backend, name).entries:
        id = entry["id"].tobytes()
        if ids is not None and id not in ids:
            continue
        in_block = int(entry["codec"]) == 2
        place = Location(0, int(entry["off"]), int(entry["clen"]), 6 if in_block else int(entry["type"]))
        kind_of = RecordType(int(entry["type"]))
        ((_, data),) = reader.read(name, [Wanted(id, int(entry["ulen"]), place)], kind=kind_of, verify=True)
        writer.add(kind_of, id, data)
    return writer.seal().pack_id
