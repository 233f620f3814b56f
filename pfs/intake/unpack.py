"""An archive as a source: each of its files becomes one below a directory, or nothing of it is put."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pfs.backends.durable import storage_errors
from pfs.changes.writer import CommitWriter
from pfs.errors import InvalidInputError
from pfs.files.fileref import EMPTY_FILE, FileRef, put_link
from pfs.intake.how import PutHow
from pfs.intake.incoming import Incoming
from pfs.intake.linked import TARGET, follow_links
from pfs.paths import from_key, to_key
from pfs.shorten import shorten
from pfs.sources.links import stays_inside
from pfs.sources.members import Member, refused
from pfs.sources.packing import Source, unpacked
from pfs.sources.tarred import tar_members
from pfs.sources.zipped import zip_members
from pfs.trees.edit import Edit, Put
from pfs.trees.page import Kind
from pfs.trees.tree import Tree


def unpack(writer: CommitWriter, how: PutHow, path: str, stream: BinaryIO, *, name: str) -> tuple[Incoming, list[str]]:
    """Return what an archive puts below ``path``, and what there is to say about it.

    tar (ustar, GNU, pax), plain or packed by gzip, bzip2, xz or zstd, read as a stream; and zip, of which a stream that
    does not seek is spooled to a temporary file in the store's folder. Told by content; ``name`` is for messages. The
    executable bit is kept, later members replace earlier ones of the same name, a hard link is its earlier
    member. Symbolic links: as ``how.symlinks``, within the archive. Devices and pipes are passed over.

    Raises:
        InvalidInputError: no archive, damaged or cut off; a name or a link that leads out of it; a path that would be
            both a file and a directory.
        StorageError: the stream cannot be read.
    """
    unpacking = _Unpacking(writer, how, to_key(path), name)
    with _members(stream, name, spool=writer.store_path / "tmp") as members:
        unpacking.take(members)
    unpacking.follow()
    return unpacking.incoming, unpacking.notes()


@contextmanager
def _members(stream: BinaryIO, name: str, *, spool: Path) -> Iterator[Iterator[Member]]:
    source = Source(stream, name)
    if not source.head:
        raise refused(name, "it is empty")
    if source.packing != "zip":
        yield tar_members(unpacked(source, name), name)
        return
    if stream.seekable():
        yield zip_members(stream, name)
        return
    with _spooled(source, spool, name) as file:
        yield zip_members(file, name)


@contextmanager
def _spooled(source: Source, folder: Path, name: str) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        with storage_errors(f"spool {name}"):
            folder.mkdir(exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            shutil.copyfileobj(source, file, 1 << 20)
            file.seek(0)
        yield cast("BinaryIO", file)


class _Unpacking:
    """One archive."""

    def __init__(self, writer: CommitWriter, how: PutHow, base: bytes, name: str) -> None:
        self.incoming = Incoming(writer, archive=name)
        self._writer, self._how, self._base, self._name = writer, how, base, name
        self._passed_over: list[str] = []
        self._passed_count = 0

    def take(self, members: Iterator[Member]) -> None:
        stored = self._writer.local.members(members, opened=_opened, jobs=self._how.jobs, progress=self._how.progress)
        for member, ref in stored:
            put = self._put(member, ref)
            if put is not None:
                self.incoming.add(put)

    def follow(self) -> None:
        """Put what links lead to in their place."""
        if self._how.symlinks == "follow":
            self.incoming.edit(self._followed(self.incoming.tree()))

    def _followed(self, tree: Tree) -> Iterator[Edit]:
        try:
            yield from follow_links(tree, self._base)
        except InvalidInputError as error:
            raise refused(self._name, str(error)) from error

    def notes(self) -> list[str]:
        if not self._passed_count:
            return []
        what = f"{self._passed_count} devices or pipes" if self._passed_count > 1 else "a device or pipe"
        return [f"{self._name}: passed over {what}: {', '.join(self._passed_over)}"]

    def _put(self, member: Member, ref: FileRef | None) -> Put | None:
        key = self._key(member.key)
        if ref is not None:
            return Put(key, ref.kind, ref.size, ref.tid, {"x": True} if member.executable else None)
        match member.type:
            case "hard-link":
                return self._hard_link(key, member)
            case "symlink":
                return self._symlink(key, member)
            case _:
                self._passed_count += 1
                if len(self._passed_over) < 3:
                    self._passed_over.append(_shown(member.key))
                return None

    def _key(self, below: bytes) -> bytes:
        if not below:
            raise refused(self._name, "it holds a file without a name")
        return self._base + b"/" + below if self._base else below

    def _hard_link(self, key: bytes, member: Member) -> Put:
        there = self.incoming.find(self._key(member.target))
        if there is None:
            raise refused(
                self._name, f"{_shown(member.key)} is a hard link to {_shown(member.target)}, which is not before it"
            )
        return Put(key, there.kind, there.size, there.tid, there.aux)

    def _symlink(self, key: bytes, member: Member) -> Put | None:
        text = member.target
        match self._how.symlinks:
            case "skip":
                return None
            case "refuse":
                raise refused(
                    self._name, f"{_shown(member.key)} is a symbolic link: follow, keep or skip it (--symlinks)"
                )
            case "keep":
                if not stays_inside(text, member.key.count(b"/")):
                    raise refused(
                        self._name,
                        f"{_shown(member.key)} is a link to {_shown(text)}, which may lead out of the archive:"
                        " skip links (--symlinks skip)",
                    )
                link = put_link(self._writer.session, text)
                return Put(key, link.kind, link.size, link.tid)
            case "follow":
                return Put(key, Kind.SYMLINK, 0, EMPTY_FILE.tid, {TARGET: text})


def _opened(member: Member) -> tuple[BinaryIO, int] | None:
    return None if member.stream is None else (member.stream, member.size)


def _shown(key: bytes) -> str:
    return shorten(from_key(key)[1:])
