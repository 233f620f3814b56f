"""s3fs-fuse: a bucket as a folder. Its files, modes, times and links are objects with metadata."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.programs import Program, find, run
from tests.clients.samples import content, read_tree, write_tree
from tests.clients.served import DOMAIN, KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("s3fs-fuse")
MOUNT_S = 20


@contextmanager
def mounted(
    program: Program, endpoint: Endpoint, bucket: str, at: Path, *, reader: bool = False, path_style: bool = True
) -> Iterator[Path]:
    """Mount a bucket, in a process that stays in the foreground."""
    at.mkdir()
    secret = at.parent / f"{at.name}.password"
    secret.write_text(":".join(endpoint.keys(reader=reader)))
    secret.chmod(0o600)
    url = endpoint.url if path_style else endpoint.url.replace("127.0.0.1", DOMAIN)
    options = [
        f"url={url}",
        f"passwd_file={secret}",
        "endpoint=us-east-1",
        "multipart_size=5",
        "retries=3",
    ]  # the second try looks at CURL_CA_BUNDLE
    options += ["use_path_request_style"] * path_style
    line = [str(program.path), bucket, str(at), "-f", "-o", ",".join(options)]
    environment = endpoint.environment(CURL_CA_BUNDLE=str(endpoint.ca_file or ""))
    with (at.parent / f"{at.name}.log").open("wb") as log:
        process = subprocess.Popen(line, env=environment, stdout=log, stderr=log)
    try:
        limit = time.monotonic() + MOUNT_S
        while not is_mounted(at):
            assert process.poll() is None, (at.parent / f"{at.name}.log").read_text()
            assert time.monotonic() < limit, "not mounted in time"
        yield at
    finally:
        if str(at) in Path("/proc/mounts").read_text():
            subprocess.run(["fusermount", "-u", "-z", str(at)], check=True)
        process.wait(MOUNT_S)


def is_mounted(at: Path) -> bool:
    """Say whether a bucket answers there; one that was refused is a broken mount for a moment."""
    try:
        return at.is_mount()
    except OSError:
        return False


@pytest.fixture
def folder(installed: Program, endpoint: Endpoint, bucket: str, tmp_path: Path) -> Iterator[Path]:
    with mounted(installed, endpoint, bucket, tmp_path / "mounted") as at:
        yield at


def test_files(folder: Path, tmp_path: Path) -> None:
    files = write_tree(folder)
    assert read_tree(folder) == files
    big = folder / "sizes/parts"
    with big.open("r+b") as file:  # s3fs copies the parts that did not change (UploadPartCopy)
        file.seek(7 << 20)
        file.write(b"changed")
    wanted = bytearray(files["sizes/parts"])
    wanted[7 << 20 : (7 << 20) + 7] = b"changed"
    assert big.read_bytes() == wanted
    with (folder / "sizes/small").open("ab") as file:
        file.write(b" and more")
    assert (folder / "sizes/small").read_bytes() == files["sizes/small"] + b" and more"
    with (folder / "sizes/one-part").open("r+b") as file:
        file.truncate(1000)
    assert (folder / "sizes/one-part").read_bytes() == files["sizes/one-part"][:1000]
    with big.open("rb") as file:
        file.seek(-100, os.SEEK_END)
        assert file.read() == wanted[-100:]


def test_folders_names_and_modes(installed: Program, endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    with mounted(installed, endpoint, bucket, tmp_path / "first") as folder:
        (folder / "d/e").mkdir(parents=True)
        (folder / "d/e/f").write_bytes(content(6 << 20))
        (folder / "d").rename(folder / "moved")
        (folder / "moved/e/f").rename(folder / "g")
        (folder / "g").chmod(0o640)
        os.utime(folder / "g", (1_000_000_000, 1_000_000_000))
        (folder / "link").symlink_to("g")
        (folder / "moved/e").rmdir()
        (folder / "moved/x").mkdir()
        with pytest.raises(OSError, match="not empty") as refused:
            (folder / "moved").rmdir()
        assert refused.value.errno == errno.ENOTEMPTY
    with mounted(installed, endpoint, bucket, tmp_path / "second") as folder:
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
            "g",
            "link",
            "moved",
            "moved/x",
        ]
        found = (folder / "g").stat()
        assert (found.st_mode & 0o777, found.st_mtime, found.st_size) == (0o640, 1_000_000_000, 6 << 20)
        assert (folder / "link").read_bytes() == content(6 << 20)
        (folder / "g").unlink()
        assert not (folder / "g").exists()


def test_rsync_twice(folder: Path, tmp_path: Path) -> None:
    rsync = find("rsync").path
    source = tmp_path / "source"
    files = write_tree(source)
    line = [rsync, "-rt", "--inplace", "--itemize-changes", f"{source}/", f"{folder}/copy/"]
    assert len([text for text in run(*line, environment={}).out.splitlines() if text.startswith(">f")]) == len(files)
    assert not [text for text in run(*line, environment={}).out.splitlines() if text.startswith(">f")]
    assert read_tree(folder / "copy") == files


def test_virtual_host_style(installed: Program, endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    with mounted(installed, endpoint, bucket, tmp_path / "mounted", path_style=False) as folder:
        (folder / "a").write_bytes(b"a")
        assert read_tree(folder) == {"a": b"a"}


def test_lists_page_by_page(installed: Program, endpoint: Endpoint, tmp_path: Path) -> None:
    with mounted(installed, endpoint, endpoint.many, tmp_path / "mounted") as folder:
        assert sorted(os.listdir(folder)) == [f"key-{number:04}" for number in range(MANY)]


def test_read_only(installed: Program, endpoint: Endpoint, tmp_path: Path) -> None:
    with mounted(installed, endpoint, endpoint.kept, tmp_path / "mounted", reader=True) as folder:
        assert read_tree(folder) == KEPT
        for attempt in ((folder / "new").touch, (folder / "kept.txt").unlink, (folder / "made").mkdir):
            with pytest.raises(PermissionError):
                attempt()
        assert read_tree(folder) == KEPT


def test_a_bucket_that_is_not_there(installed: Program, endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(AssertionError), mounted(installed, endpoint, "no-such-bucket", tmp_path / "mounted"):
        pass
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
