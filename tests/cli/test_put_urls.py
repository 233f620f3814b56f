"""put-file from URLs: S3 (a gateway of ours as the source), HTTP and file."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pfs.store import init
from tests.cli.conftest import Run
from tests.cli.processes import Served, serving
from tests.cli.test_put_file import commits, files, write
from tests.pfs.web_world import Page, World, cutting, web

BIG = b"0123456789abcdef" * 300_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("gateway")
    (place / "links").mkdir()
    (place / "links/link").symlink_to("a.csv")
    with init(place) as store, store.create_repo("src").commit("master") as commit:
        commit.put_tree("/d", place / "links", symlinks="keep")  # which S3 does not show
        commit.put_file("/big", BIG)
        for number in range(1100):
            commit.put_file(f"/many/{number}", b"%d" % number)
    with serving(place, "--no-pipelines") as served:
        client = boto3.client(
            "s3",
            endpoint_url=served.url,
            region_name="us-east-1",
            aws_access_key_id=served.access_key,
            aws_secret_access_key=served.secret_key,
        )
        client.put_object(Bucket="src", Key="d/a.csv", Body=b"a", ContentType="text/csv", Metadata={"owner": "me"})
        client.put_object(Bucket="src", Key="d/e/b c+?ü", Body=b"b")
        client.put_object(Bucket="src", Key="d/marker/", Body=b"")
        client.put_object(Bucket="src", Key="d/marker/in", Body=b"in")
        client.put_object(Bucket="src", Key="dd", Body=b"not below d")
        client.put_object(Bucket="src", Key="odd//x", Body=b"x")
        client.put_object(Bucket="src", Key="clash/a", Body=b"1")
        client.put_object(Bucket="src", Key="clash/a/b", Body=b"2")
        client.close()
        yield served


@pytest.fixture
def s3(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", gateway.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return gateway.url


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with web() as served:
        yield served


def test_one_object_lands_like_a_file(store: Path, pfs: Run, s3: str) -> None:
    for address in ("r@master", "r@master:/x", "r@master:/sub/"):
        pfs("put-file", address, "-f", "s3://src/d/a.csv", "--endpoint-url", s3)
    assert files(pfs) == {"/a.csv": "a", "/sub/a.csv": "a", "/x": "a"}
    record: Any = pfs("inspect-file", "r@master:/x", "--json").json
    assert (record["mime"], record["metadata"]) == ("text/csv", {"owner": "me"})
    pfs("put-file", "r@master:/x", "-f", "s3://src/d/a.csv", "--endpoint-url", s3, "--mime", "a/b", "--metadata", "k=v")
    record = pfs("inspect-file", "r@master:/x", "--json").json
    assert (record["mime"], record["metadata"]) == ("a/b", {"k": "v"})


def test_everything_below_a_prefix(store: Path, pfs: Run, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    expected = {"/a.csv": "a", "/e/b c+?ü": "b", "/marker/in": "in"}
    for word in ("s3://src/d/", "s3://src/d"):
        pfs("put-file", "r@master:/in", "-r", "-f", word, "--delete-extra")
        assert files(pfs) == {f"/in{name}": text for name, text in expected.items()}
    assert commits(pfs) == 1, "the second was a mirror without changes"
    record: Any = pfs("put-file", "r@many", "-r", "-f", "s3://src/many/", "-j", 16, "--json").json
    assert (record["file_count"], record["size_bytes"]) == (1100, sum(len(str(number)) for number in range(1100)))
    assert pfs("get-file", "r@many:/1099").out == "1099"
    pfs("put-file", "r@big", "-f", "s3://src/big", "-f", "s3://src/dd")
    assert pfs("get-file", "r@big:/big").out == BIG.decode()


def test_a_transfer_from_s3_that_breaks_goes_on_where_it_was(store: Path, pfs: Run, s3: str) -> None:
    host, _, port = s3.removeprefix("http://").rpartition(":")
    cuts = [2_000_000, 300, 1_500_000]
    with cutting((host, int(port)), cuts) as url:
        pfs("put-file", "r@master", "-f", "s3://src/big", "--endpoint-url", url)
    assert cuts == []
    assert pfs("get-file", "r@master:/big").out == BIG.decode()


def test_what_s3_refuses_is_one_line(store: Path, pfs: Run, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    assert "nothing at s3://src/none" in pfs("put-file", "r@master", "-f", "s3://src/none", code=3).err
    assert "nothing at s3://src/d/link" in pfs("put-file", "r@master", "-f", "s3://src/d/link", code=3).err
    assert "NoSuchBucket" in pfs("put-file", "r@master", "-r", "-f", "s3://nobucket/x", code=3).err
    assert "no objects below s3://src/dd/" in pfs("put-file", "r@master", "-r", "-f", "s3://src/dd", code=3).err
    assert "names no file" in pfs("put-file", "r@master", "-f", "s3://src/d/", code=2).err
    assert "put both /a" in pfs("put-file", "r@master", "-r", "-f", "s3://src/clash", code=2).err
    assert "empty name" in pfs("put-file", "r@master", "-r", "-f", "s3://src/odd/", code=2).err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "SignatureDoesNotMatch" in pfs("put-file", "r@master", "-f", "s3://src/dd", code=5).err
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "no credentials were found" in pfs("put-file", "r@master", "-f", "s3://src/dd", code=5).err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "S3 cannot be used" in pfs("put-file", "r@master", "-f", "s3://src/dd", code=2).err
    assert commits(pfs) == 0


def test_web_and_local_files_in_one_list(store: Path, pfs: Run, world: World) -> None:
    world.pages["/d/x.txt"] = Page(b"from the web")
    write({"here": "local", "in/deep/file": "below"})
    Path("list").write_text(f"{world.url}/d/x.txt\nhere\nfile://{Path('in/deep/file').absolute()}\n")
    pfs("put-file", "r@master:/all", "-i", "list")
    assert files(pfs) == {"/all/x.txt": "from the web", "/all/here": "local", "/all/file": "below"}
    Path("list").write_text(f"{world.url}/d/x.txt\n{world.url}/missing\n")
    error = pfs("put-file", "r@master", "-i", "list", code=3).err
    assert error == f"pfs: line 2 of list: nothing at {world.url}/missing: the server answered 404 Not Found\n"
    Path("list").write_text("here\n\ngopher://h/x\n")
    assert "pfs: line 3 of list: gopher:// is no scheme" in pfs("put-file", "r@master", "-i", "list", code=2).err
    Path("list").write_text(f"in\n{world.url}/d\n")
    assert "pfs: line 2 of list: " in pfs("put-file", "r@master", "-r", "-i", "list", code=2).err
    Path("list").write_text(f"{world.url}/missing.tar\n")
    assert "pfs: line 1 of list: " in pfs("put-file", "r@master", "--untar", "-i", "list", code=3).err
    Path("list").write_text(f"here\n{world.url}/d/\n")
    assert "line 2 of list: " in pfs("put-file", "r@master", "-i", "list", code=2).err
    assert commits(pfs) == 1


def test_file_urls_are_files_and_folders(store: Path, pfs: Run) -> None:
    write({"in/a b": "1", "in/d/c": "2"})
    pfs("put-file", "r@master", "-r", "-f", f"file://{Path('in').absolute()}/")
    pfs("put-file", "r@master:/one", "-f", f"file://localhost{Path('in').absolute()}/a%20b")
    assert files(pfs) == {"/a b": "1", "/d/c": "2", "/one": "1"}
    assert "no file of this machine" in pfs("put-file", "r@master", "-f", "file://other/x", code=2).err
    pfs("put-file", "r@master", "-f", "file:///nonexistent/x", code=3)


def test_http_is_not_listed_and_unknown_schemes_are_none(store: Path, pfs: Run, world: World) -> None:
    assert "-r does not take it" in pfs("put-file", "r@master", "-r", "-f", f"{world.url}/d", code=2).err
    assert "no scheme that can be put" in pfs("put-file", "r@master", "-f", "gopher://h/x", code=2).err
    assert commits(pfs) == 0


def test_an_archive_behind_a_url(store: Path, pfs: Run, world: World) -> None:
    write({"in/a": "1", "in/d/b": "2" * 500_000})
    data = subprocess.run(["tar", "-cz", "-C", "in", "."], check=True, capture_output=True).stdout
    world.pages["/x.tgz"] = Page(data, cuts=[len(data) // 2])
    pfs("put-file", "r@master:/web", "--untar", "-f", f"{world.url}/x.tgz")
    assert files(pfs) == {"/web/a": "1", "/web/d/b": "2" * 500_000}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("z", "3")
    world.pages["/x.zip"] = Page(buffer.getvalue())
    pfs("put-file", "r@zip", "--untar", "-f", f"{world.url}/x.zip")
    assert files(pfs, "r@zip") == {"/z": "3"}
