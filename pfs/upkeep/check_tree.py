"""The second half of a check: everything that a commit's tree needs, each page and manifest looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, StorageError
from pfs.ids import EMPTY_CHUNK, NO_PAGE, PageId, TreeId
from pfs.trees.page import Cell, Kind
from pfs.trees.row import EMPTY_ROOT, Root, open_page
from pfs.upkeep.check_packs import Packs
from pfs.upkeep.damage import Damages, Taint, reason

if TYPE_CHECKING:
    from pfs.store import Store

_TAINTS = 50
"""Damages that one page passes on to what holds it; beyond that they are still found, but name fewer paths."""
_CHUNKS = 4_096


class TreeCheck:
    """Walks the trees of many commits; shared subtrees once. Memory: 100 bytes a page, more for damaged ones."""

    def __init__(self, store: Store, packs: Packs, damages: Damages) -> None:
        self._store, self._packs, self.damages = store, packs, damages
        self._clean: set[bytes] = set()
        self._tainted: dict[bytes, list[Taint]] = {}

    def check(self, root: Root) -> list[Taint]:
        """Return the damaged objects that the tree needs, with paths."""
        return [] if root == EMPTY_ROOT else self._page(root.pid, root.tid)

    def locate(self, ids: Sequence[bytes], what: str) -> list[str | None]:
        """Return for each id the damage that it suffers from, None if it is where it should be and whole."""
        return [
            None if id == EMPTY_CHUNK else self._place(id, location, what)
            for id, location in zip(ids, self._store.index.find(ids), strict=True)
        ]

    def _place(self, id: bytes, location: tuple[int, int, int, int] | None, what: str) -> str | None:
        if id in self._packs.wrong_rows:
            return self._packs.wrong_rows[id]
        if location is None and id in self._packs.bad_ids:
            return self._packs.bad_ids[id]
        if location is None:
            return self.damages.add("missing", f"{what} {id.hex()[:12]}", "it is in no pack")
        pack, kind = self._store.index.pack(location[0])
        if pack not in self._packs.whole:
            name = f"packs/{kind}/{pack[-1:].hex()}/{pack.hex()}.pack"
            return self.damages.add("pack", name, "the pack is gone")
        return self._packs.bad_places.get((pack, location[1]))

    def _page(self, pid: PageId, tid: TreeId) -> list[Taint]:
        if pid in self._clean:
            return []
        if pid not in self._tainted:
            taints = self._read_page(pid, tid)
            if not taints:
                self._clean.add(pid)
                return []
            self._tainted[pid] = taints[:_TAINTS]
        return self._tainted[pid]

    def _read_page(self, pid: PageId, tid: TreeId) -> list[Taint]:
        where = f"page {pid.hex()[:12]}"
        bad = self.locate([pid], "page")[0]
        if bad is not None:
            return [Taint(bad, b"")]
        try:
            page = open_page(self._store.objects, pid)
        except (CorruptionError, StorageError) as error:
            return [Taint(self.damages.add("record", where, reason(error)), b"")]
        taints = []
        if page.logical_id != tid:
            taints.append(Taint(self.damages.add("tree", where, "it is not what the row above it says"), b""))
        cells = page.cells()
        return taints + self._files(cells) + self._folders(cells)

    def _folders(self, cells: Sequence[Cell]) -> list[Taint]:
        taints = []
        for cell in cells:
            if cell.kind in (Kind.DIR, Kind.SHARD) and cell.pid != NO_PAGE:
                above = cell.name if cell.kind == Kind.DIR else b""
                below = self._page(PageId(cell.pid), TreeId(cell.tid))
                taints += [Taint(taint.object, above + (taint.path or b"")) for taint in below]
        return taints

    def _files(self, cells: Sequence[Cell]) -> list[Taint]:
        single = [cell for cell in cells if cell.kind in (Kind.FILE, Kind.SYMLINK)]
        found = self.locate([cell.tid for cell in single], "chunk")
        taints = [Taint(bad, cell.name) for cell, bad in zip(single, found, strict=True) if bad is not None]
        for cell in cells:
            if cell.kind == Kind.CHUNKED and cell.tid not in self._clean:
                bad_ones = self._chunked(cell)
                taints += [Taint(bad, cell.name) for bad in bad_ones]
                if not bad_ones:
                    self._clean.add(cell.tid)
        return taints

    def _chunked(self, cell: Cell) -> list[str]:
        """Return the damages that a file of several chunks suffers from."""
        where = f"manifest {cell.tid.hex()[:12]}"
        bad = self.locate([cell.tid], "manifest")[0]
        if bad is not None:
            return [bad]
        found: dict[str, None] = {}
        try:
            manifest, batch = self._store.objects.manifest(TreeId(cell.tid)), list[bytes]()
            if manifest.size != cell.size:
                detail = f"its chunks add up to {manifest.size} bytes, not {cell.size}"
                found[self.damages.add("tree", where, detail)] = None
            for chunk in manifest.chunks():
                batch.append(chunk.id)
                if len(batch) == _CHUNKS:
                    found.update(self._bad(batch))
                    batch.clear()
            found.update(self._bad(batch))
        except (CorruptionError, StorageError) as error:
            found[self.damages.add("record", where, reason(error))] = None
        return list(found)

    def _bad(self, chunks: Sequence[bytes]) -> dict[str, None]:
        return dict.fromkeys(bad for bad in self.locate(chunks, "chunk") if bad is not None)
