"""Archives as a source: what tarfile, tar and zip write comes in whole, and hostile or damaged ones not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import InvalidInputError, PfsError, StorageError
from pfs.intake import Intake, Intaken, PutHow
from pfs.repo import Repo
from pfs.sources.links import Symlinks

BIG = random.Random(3).randbytes(3_000_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return pfs.init(tmp_path_factory.mktemp("unpack")).create_repo("r")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return pfs.init(tmp_path / "store").create_repo("r")


class Pipe(io.RawIOBase):
    """Bytes that come in small pieces and do not seek."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), 40_000, len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def unpack(repo: Repo, data: bytes, path: str = "/", *, how: PutHow | None = None, branch: str = "b") -> Intaken:
    with repo.commit(branch) as commit:
        intake = Intake(commit, how or PutHow(), alone=True)
        intake.archive(path, cast("BinaryIO", Pipe(data)), name="x.tar")
        return intake.finish()


def files(repo: Repo, branch: str = "b") -> dict[str, bytes]:
    view = repo[branch]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type != "directory"}


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def link(name: str, target: str, type: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=type, linkname=target)


CONTENT = {"a.txt": b"a", "d/empty": b"", "d/big": BIG, "d/ü/三": b"three", "run.sh": b"#!/bin/sh\n"}


def content_tar() -> bytes:
    entries = [entry(f"./{name}", data, mode=0o755 if name == "run.sh" else 0o644) for name, data in CONTENT.items()]
    return tar(entry("./", type=tarfile.DIRTYPE), entry("./none/", type=tarfile.DIRTYPE), *entries)


def content_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("none")
        for name, data in CONTENT.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if name == "run.sh" else 0o100644) << 16
            archive.writestr(info, data)
    return buffer.getvalue()


PACKED: Mapping[str, Callable[[], bytes]] = {
    "tar": content_tar,
    "gzip": lambda: gzip.compress(content_tar(), 1),
    "bzip2": lambda: bz2.compress(content_tar(), 1),
    "xz": lambda: lzma.compress(content_tar(), preset=0),
    "zstd": lambda: zstandard.compress(content_tar(), 1),
    "zstd-skippable": lambda: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(content_tar(), 1),
    "gzip-members": lambda: gzip.compress(content_tar()[:5000]) + gzip.compress(content_tar()[5000:]),
    "zip": content_zip,
}


@pytest.mark.parametrize("packing", PACKED)
def test_every_packing_is_told_by_its_content(repo: Repo, packing: str) -> None:
    done = unpack(repo, PACKED[packing](), "/in")
    assert files(repo) == {f"/in/{name}": data for name, data in CONTENT.items()}
    assert (done.files, done.size_bytes, done.notes) == (len(CONTENT), sum(map(len, CONTENT.values())), ())
    assert repo["b"].stat("/in/run.sh").executable
    assert not repo["b"].stat("/in/a.txt").executable


def test_what_the_tools_of_a_shell_write(repo: Repo, tmp_path: Path) -> None:
    place = tmp_path / "in"
    (place / "d").mkdir(parents=True)
    (place / ("long" * 60)).write_bytes(b"long name")
    (place / "d/file").write_bytes(b"file")
    os.link(place / "d/file", place / "hard")
    (place / "soft").symlink_to("d/file")
    with (place / "sparse").open("wb") as sparse:
        sparse.seek(1_000_000)
        sparse.write(b"end")
    expected = {f"/{'long' * 60}": b"long name", "/d/file": b"file", "/hard": b"file", "/soft": b"file"}
    expected["/sparse"] = bytes(1_000_000) + b"end"
    for number, options in enumerate(
        (["--format=gnu"], ["--format=pax"], ["--format=gnu", "-S"], ["--format=pax", "-S"])
    ):
        done = subprocess.run(["tar", "-c", *options, "-C", place, "."], capture_output=True, check=True)
        unpack(repo, done.stdout, branch=f"b{number}")
        assert files(repo, f"b{number}") == expected, options


def test_the_last_of_equal_names_counts(repo: Repo) -> None:
    unpack(
        repo,
        tar(entry("a", b"1"), link("h", "a", tarfile.LNKTYPE), entry("a", b"2"), link("a2", "x"), entry("a2", b"3")),
    )
    assert files(repo) == {"/a": b"2", "/h": b"1", "/a2": b"3"}


def test_devices_and_pipes_are_passed_over_and_told(repo: Repo) -> None:
    odd = [entry(f"dev/{n}", type=kind) for n, kind in enumerate((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE))]
    done = unpack(repo, tar(*odd, entry("a", b"1")))
    assert files(repo) == {"/a": b"1"}
    assert done.notes == ("x.tar: passed over 3 devices or pipes: dev/0, dev/1, dev/2",)


LINKS = tar(
    link("early", "d/file"),
    entry("d/file", b"f", mode=0o755),
    link("d/up", "../early"),
    link("folder", "./d/"),
    link("through", "folder/file"),
    link("hard-to-soft", "early", tarfile.LNKTYPE),
)


def test_links_are_followed_within_the_archive(repo: Repo) -> None:
    with repo.commit("b") as commit:
        commit.put_file("/in/outside", b"not of the archive")
    unpack(repo, LINKS, "/in")
    found = files(repo)
    assert found.pop("/in/outside") == b"not of the archive"
    names = ["early", "d/file", "d/up", "folder/file", "folder/up", "through", "hard-to-soft"]
    assert found == {f"/in/{name}": b"f" for name in names}
    assert repo["b"].stat("/in/through").executable
    assert repo["b"].stat("/in/early").metadata == {}


@pytest.mark.parametrize(("policy", "count"), [("keep", 6), ("skip", 1)])
def test_links_are_kept_or_skipped(repo: Repo, policy: Symlinks, count: int) -> None:
    data = LINKS if policy == "keep" else tar(link("early", "d/file"), entry("d/file", b"f"), link("x", "/etc"))
    unpack(repo, data, how=PutHow(symlinks=policy))
    assert len(files(repo)) == count
    if policy == "keep":
        assert (repo["b"].stat("/d/up").type, repo["b"].read("/d/up")) == ("symlink", b"../early")
        assert repo["b"].stat("/hard-to-soft").type == "symlink"


NESTED = (entry("z/f", b"1"), link("y/one", "../z"), link("x", "y"))
HOSTILE: Mapping[str, tuple[bytes, str]] = {
    "absolute": (tar(entry("/etc/passwd", b"x")), "absolute name '/etc/passwd'"),
    "dots": (tar(entry("a/../../b", b"x")), "'..'"),
    "control": (tar(entry("a\nb", b"x")), "control characters"),
    "not utf-8": (tar(entry("a\udcff", b"x"), format=tarfile.GNU_FORMAT), "not valid UTF-8"),
    "no name": (tar(entry(".", b"x")), "without a name"),
    "hard link out": (tar(link("h", "../x", tarfile.LNKTYPE)), "'..'"),
    "hard link to nothing": (tar(link("h", "x", tarfile.LNKTYPE), entry("x", b"1")), "h is a hard link to x"),
    "link out": (tar(link("d/l", "../../x")), "leads out"),
    "absolute link": (tar(link("l", "/etc/passwd")), "leads out of the archive: skip links"),
    "absolute link by a link": (tar(link("k", "l/x"), link("l", "/etc")), "leads out"),
    "broken link": (tar(link("l", "nothing")), "l is a link to nothing, which"),
    "circle": (tar(link("a", "b"), link("b", "a")), "in circles"),
    "self": (tar(link("d/self", "."), entry("d/f", b"1")), "it lies in"),
    "top": (tar(link("top", "."), entry("f", b"1")), "it lies in"),
    "nested": (tar(*NESTED), "to another"),
    "text": (b"name,value\n" * 200, "no zip and no tar"),
    "gzip of text": (gzip.compress(b"name,value\n" * 200), "no zip and no tar"),
    "empty": (b"", "is empty"),
    "no members, no end": (bytes(100), "no zip and no tar"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused_by_name_with_nothing_put(shared: Repo, case: str) -> None:
    data, message = HOSTILE[case]
    with pytest.raises(InvalidInputError) as caught:
        unpack(shared, data, "/in", branch="hostile")
    assert message in str(caught.value)
    assert str(caught.value).startswith("cannot unpack x.tar: ")
    assert str(caught.value).endswith("; nothing of it was put")
    assert "hostile" not in [branch.name for branch in shared.branches()]


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "a/../b"])
def test_links_that_may_lead_out_are_not_kept(shared: Repo, target: str) -> None:
    with pytest.raises(InvalidInputError, match=r"may lead out of the archive: skip links"):
        unpack(shared, tar(link("l", target)), "/in", how=PutHow(symlinks="keep"))
    with pytest.raises(InvalidInputError, match="is a symbolic link"):
        unpack(shared, tar(link("l", target)), "/in", how=PutHow(symlinks="refuse"))


def test_a_file_and_a_directory_of_one_name_collide(shared: Repo) -> None:
    for entries in ((entry("a", b"1"), entry("a/b", b"2")), (entry("a/b", b"2"), entry("a", b"1"))):
        with pytest.raises(InvalidInputError, match=r"cannot unpack x\.tar: it puts both /a.* and /a"):
            unpack(shared, tar(*entries))


def test_zip_that_leads_out_is_encrypted_or_damaged(shared: Repo) -> None:
    def zipped(name: str, mode: int = 0o100644, flags: int = 0) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"/etc/passwd")
        data = bytearray(buffer.getvalue())
        for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            data[data.index(magic) + offset] |= flags
        return bytes(data)

    cases = [
        (zipped("../x"), "'..'"),
        (zipped("/x"), "absolute"),
        (zipped("l", 0o120777), "leads out"),
        (zipped("x", flags=1), "encrypted"),
        (zipped("x").replace(b"/etc", b"/ETC", 1), "damaged"),
        (zipped("x")[:-30], "damaged"),
    ]
    for data, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            unpack(shared, data)


@pytest.mark.parametrize("packing", ["tar", "gzip", "bzip2", "xz", "zstd", "zip"])
def test_a_cut_archive_is_never_taken_for_a_whole_one(shared: Repo, packing: str) -> None:
    small = tar(*[entry(f"f{n}", bytes([n]) * 300) for n in range(6)])
    small = small[: 6 * 1024 + 1024]  # tarfile pads the end, of which two blocks are needed
    packers: Mapping[str, Callable[[bytes], bytes]] = {
        "tar": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress,
        "zip": lambda _: content_zip(),
    }  # fmt: skip
    data = packers[packing](small)
    last = 6 * 1024 + 511 if packing == "tar" else len(data) - 1
    cuts = range(0, last, 511) if packing == "tar" else range(0, last, max(1, last // 25))
    for cut in [*cuts, last]:
        with pytest.raises(InvalidInputError):
            unpack(shared, data[:cut], branch=f"cut-{packing}")
    assert f"cut-{packing}" not in [branch.name for branch in shared.branches()]


def test_what_stops_in_the_middle_leaves_the_writer_as_it_was(repo: Repo) -> None:
    with repo.commit("b") as commit:
        intake = Intake(commit, PutHow(), alone=True)
        with pytest.raises(InvalidInputError):
            intake.archive("/", io.BytesIO(content_tar()[:-12_000]), name="x.tar")
        intake.archive("/", io.BytesIO(tar(entry("good", b"1"))), name="y.tar")
        intake.finish()
    assert files(repo) == {"/good": b"1"}


class Failing(Pipe):
    """A stream whose transfer breaks."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            raise OSError(5, "it broke")
        return super().readinto(buffer)


@pytest.mark.parametrize("packing", ["tar", "gzip", "zip"])
def test_a_stream_that_fails_is_no_damaged_archive(repo: Repo, packing: str) -> None:
    with repo.commit("b") as commit:
        with pytest.raises(StorageError, match="it broke"):
            Intake(commit, PutHow()).archive("/", cast("BinaryIO", Failing(PACKED[packing]()[:60_000])), name="x")
        commit.drop()


NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=12)
PATHS = st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3).map("/".join)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.dictionaries(PATHS, st.binary(max_size=700), max_size=12),
    format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    packing=st.sampled_from(["tar", "gzip", "zip"]),
)
def test_round_trip(shared: Repo, content: dict[str, bytes], format: int, packing: str) -> None:
    folders = {name[:at] for name in content for at, char in enumerate(name) if char == "/"}
    content = {name: data for name, data in content.items() if name not in folders}
    if packing == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, body in content.items():
                archive.writestr(name, body)
        data = buffer.getvalue()
    else:
        data = tar(*[entry(name, body) for name, body in content.items()], format=format)
        data = gzip.compress(data) if packing == "gzip" else data
    unpack(shared, data, how=PutHow(mirror="/"), branch="round")
    assert files(shared, "round") == {f"/{name}": body for name, body in content.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), packing=st.sampled_from(["links", "gnu", "zip"]))
def test_flipped_bytes_end_in_one_of_our_errors(shared: Repo, data: st.DataObject, packing: str) -> None:
    whole = bytearray(
        LINKS if packing == "links"
        else tar(entry("n" * 150, b"x" * 600), entry("b", b"2"), format=tarfile.GNU_FORMAT) if packing == "gnu"
        else content_zip()[-3000:]
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    with shared.commit("flipped") as commit:
        with suppress(PfsError):
            Intake(commit, PutHow(), alone=True).archive("/", cast("BinaryIO", Pipe(bytes(whole))), name="x.tar")
        commit.drop()


def test_a_header_of_impossible_size_is_not_read_into_memory(shared: Repo) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(InvalidInputError, match=r"no zip and no tar"):
        unpack(shared, info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
