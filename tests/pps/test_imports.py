"""Imports into a commit: from S3 (moto over real HTTP), the web and folders; what is fetched again and what is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pfs.errors import InvalidInputError, NotFoundError, StorageError
from pfs.sources.urls import UrlSettings
from pfs.store import Store, init
from pps.spec.delivery import Levers
from pps.transfers import reading, wire
from pps.transfers.errors import PlaceRefusedError
from pps.transfers.imports import FIELD, Imported, ImportHow, import_uri
from tests.pfs.bucket_world import BUCKET, World


@pytest.fixture
def world(bucket: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wire, "FIRST_S", 0.0)
    return bucket


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with init(tmp_path / "home") as made:
        yield made


def files(store: Store, path: str = "/") -> dict[str, bytes]:
    view = store.repo("in").view("master")
    rows = list(view.tree.walk(path.strip("/").encode()))
    return {row.key.decode(): view.read("/" + row.key.decode()) for row in rows}


def put(world: World, **objects: bytes) -> None:
    for key, data in objects.items():
        world.client.put_object(Bucket=BUCKET, Key=key.replace("__", "/"), Body=data, ContentType="text/csv")


def take(store: Store, uri: str, path: str = "/x", **how: object) -> Imported:
    return import_uri(store, "in", path, uri, ImportHow(**how))  # type: ignore[arg-type]


def test_what_is_unchanged_is_not_fetched_again_and_what_vanished_is_removed(world: World, store: Store) -> None:
    put(world, logs__a=b"1", logs__sub__b=b"22", logs__c=b"3", logsother=b"no", logs__=b"")
    uri, s3 = f"s3://{BUCKET}/logs/", Levers(endpoint=world.url)
    done = take(store, uri, levers=s3)
    assert done[1:5] == (3, 4, 0, 0)
    assert files(store) == {"x/a": b"1", "x/c": b"3", "x/sub/b": b"22"}
    row = store.repo("in").view("master").tree.stat(b"x/a")
    assert row is not None
    assert row.aux is not None
    etag = world.client.head_object(Bucket=BUCKET, Key="logs/a")["ETag"].strip('"')
    assert row.aux[FIELD] == [f"s3://{BUCKET}/logs/a", etag, "", 1, ""]
    assert row.aux["m"] == "text/csv"
    world.asked.clear()
    assert take(store, uri, levers=s3) == Imported(None, 0, 0, 3, 0)
    assert [asked.method for asked in world.asked] == ["GET"], "one listing"
    world.client.delete_object(Bucket=BUCKET, Key="logs/c")
    put(world, logs__a=b"9")
    again = take(store, uri, levers=s3)
    assert again[1:5] == (1, 1, 1, 1)
    assert files(store) == {"x/a": b"9", "x/sub/b": b"22"}
    assert store.repo("in").branch("master").head == again.commit


def test_one_object_a_pattern_and_what_is_not_there(world: World, store: Store) -> None:
    put(world, one__a_1csv=b"1", one__a_2csv=b"2", one__b_txt=b"3")
    s3 = Levers(endpoint=world.url)
    take(store, f"s3://{BUCKET}/one/b_txt", "/single", levers=s3)
    take(store, f"s3://{BUCKET}/one/a_*", "/glob", levers=s3)
    take(store, f"s3://{BUCKET}/o*/b*", "/deep", levers=s3)
    assert files(store) == {
        "deep/one/b_txt": b"3",
        "glob/a_1csv": b"1",
        "glob/a_2csv": b"2",
        "single/b_txt": b"3",
    }
    for uri in (f"s3://{BUCKET}/one/none", f"s3://{BUCKET}/none/", f"s3://{BUCKET}/one/z*"):
        with pytest.raises(NotFoundError, match="nothing is at s3://"):
            take(store, uri, "/single", levers=s3)
    with pytest.raises(PlaceRefusedError, match="NoSuchBucket"):
        take(store, "s3://no-such-bucket/x/", levers=s3)
    with pytest.raises(InvalidInputError, match="cannot be imported"):
        take(store, "gs://bucket/x")


def test_a_large_object_comes_in_ranges_of_one_version(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RANGE", 1 << 20)
    data, s3 = os.urandom((5 << 20) + 7), Levers(endpoint=world.url)
    put(world, large=data)
    lost: list[str] = []

    def lose(asked: object) -> bool:
        lost.append("")
        return len(lost) % 3 == 0

    world.lose = lose
    take(store, f"s3://{BUCKET}/large", levers=s3)
    world.lose = lambda _: False
    assert files(store) == {"x/large": data}
    ranged = [asked for asked in world.asked if asked.method == "GET"]
    assert len(ranged) > 6, "one for each range, and those that broke"
    assert all(asked.condition for asked in ranged)


def test_an_object_that_is_not_what_its_etag_says_is_refused(world: World, store: Store) -> None:
    put(world, odd=b"1")
    world.refuse = lambda asked: ("200 OK", {}, b"2") if asked.method == "GET" else None
    with pytest.raises(StorageError, match="another MD5"):
        take(store, f"s3://{BUCKET}/odd", levers=Levers(endpoint=world.url))
    assert store.repo("in").branches() == []


def test_what_fails_in_the_middle_leaves_the_branch(world: World, store: Store) -> None:
    put(world, mid__a=b"1", mid__b=b"2")
    uri, s3 = f"s3://{BUCKET}/mid/", Levers(endpoint=world.url)
    before = take(store, uri, levers=s3).commit
    put(world, mid__a=b"3", mid__b=b"4")
    world.refuse = lambda asked: ("500 Oh", {}, b"") if asked.key == "mid/b" else None
    with pytest.raises(StorageError):
        take(store, uri, levers=s3)
    assert store.repo("in").branch("master").head == before
    world.refuse = lambda _: None
    assert take(store, uri, levers=s3).fetched == 2


def test_a_folder_a_file_and_a_pattern(store: Store, tmp_path: Path) -> None:
    top = tmp_path / "from here"
    for name, data in {"a.csv": b"1", "a-b/c": b"2", "a/d.csv": b"3"}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    assert take(store, top.as_uri())[1:5] == (3, 3, 0, 0)
    assert files(store) == {"x/a-b/c": b"2", "x/a.csv": b"1", "x/a/d.csv": b"3"}
    assert take(store, f"{top.as_uri()}/").commit is None
    (top / "a-b/c").unlink()
    (top / "a.csv").write_bytes(b"4")
    assert take(store, top.as_uri())[1:5] == (1, 1, 1, 1)
    take(store, f"{top.as_uri()}/*.csv", "/glob")
    take(store, f"{top.as_uri()}/a.csv", "/one")
    assert files(store, "/glob") | files(store, "/one") == {"glob/a.csv": b"4", "one/a.csv": b"4"}
    with pytest.raises(NotFoundError):
        take(store, f"{top.as_uri()}/none")


def test_what_is_no_file_or_leads_out_of_a_folder_is_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    top, outside = tmp_path / "in", tmp_path / "outside"
    (top / "sub").mkdir(parents=True)
    outside.write_bytes(b"nobody's")
    (top / "a").write_bytes(b"1")
    (top / "sub/inner").symlink_to("../a")
    (top / "out").symlink_to(outside)
    (top / "folder").symlink_to(tmp_path)
    os.mkfifo(top / "pipe")
    done = take(store, f"{top.as_uri()}/")
    assert files(store) == {"x/a": b"1", "x/sub/inner": b"1"}
    assert (done.fetched, done.left_out) == (2, 3)
    assert done.why == "'/x/folder' is not imported: it is no file"
    (top / "a").unlink()
    (top / "sub/inner").unlink()
    with pytest.raises(InvalidInputError, match="it is no file"):
        take(store, f"{top.as_uri()}/")
    with pytest.raises(InvalidInputError, match="leads out of the folder"):
        take(store, f"{top.as_uri()}/o*")


def test_a_key_that_is_no_path_stops_no_prefix(world: World, store: Store) -> None:
    for key in ("odd/a", "odd/b/./c", "odd/d/../e", "odd/z"):
        world.client.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    s3 = Levers(endpoint=world.url)
    done = take(store, f"s3://{BUCKET}/odd/", levers=s3)
    assert (sorted(files(store)), done.left_out) == (["x/a", "x/z"], 2)
    assert "b/./c" in done.why
    with pytest.raises(InvalidInputError):
        take(store, f"s3://{BUCKET}/odd/b/", levers=s3)


def test_a_key_with_an_empty_element_is_not_taken_for_another(world: World, store: Store) -> None:
    s3 = Levers(endpoint=world.url)
    for key, body in {"two/b//c": b"1", "two/b/a": b"2", "two/b/c": b"3", "two//z": b"4", "two/y/": b"5"}.items():
        world.client.put_object(Bucket=BUCKET, Key=key, Body=body)
    for _ in range(2):
        done = take(store, f"s3://{BUCKET}/two/", levers=s3)
        assert files(store) == {"x/b/a": b"2", "x/b/c": b"3"}
        assert (done.left_out, done.removed) == (3, 0)
    assert "an element of it is empty" in done.why


@dataclass
class Web:
    """A server of one file, that knows conditions, ranges and breaks."""

    data: bytes = b"content"
    etag: str = '"one"'
    breaks_at: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def web() -> Iterator[Web]:
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            state.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            if self.path == "/moved":
                self.answer(302, {"Location": "/dir/file.csv?token=1"}, b"")
            elif self.path == "/away":
                self.answer(302, {"Location": "file:///etc/hostname"}, b"")
            elif self.path == "/none":
                self.answer(404, {}, b"")
            elif self.headers.get("if-none-match") == state.etag:
                self.answer(304, {"ETag": state.etag}, b"")
            else:
                self.content()

        def content(self) -> None:
            start = int((self.headers.get("range") or "bytes=0-").partition("=")[2].partition("-")[0])
            data, headers = state.data[start:], {"ETag": state.etag, "Content-Type": "text/csv"}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(state.data) - 1}/{len(state.data)}"
            if state.breaks_at and not start:
                self.answer(200, headers, data, only=state.breaks_at)
                self.close_connection = True
                return
            self.answer(206 if start else 200, headers, data)

        def answer(self, status: int, headers: dict[str, str], body: bytes, only: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:only])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_web_is_asked_whether_something_changed(web: Web, store: Store) -> None:
    uri = f"{web.url}/dir/file.csv?token=secret"
    first = take(store, uri)
    assert first[1:5] == (1, 7, 0, 0)
    assert files(store) == {"x/file.csv": b"content"}
    row = store.repo("in").view("master").tree.stat(b"x/file.csv")
    assert row is not None
    assert row.aux == {FIELD: [f"{web.url}/dir/file.csv?…", '"one"', "", 7, ""], "m": "text/csv"}
    assert take(store, uri) == Imported(None, 0, 0, 1, 0)
    assert web.asked[-1][1]["if-none-match"] == '"one"'
    web.data, web.etag = b"other", '"two"'
    assert take(store, uri)[1:5] == (1, 5, 0, 0)
    assert files(store) == {"x/file.csv": b"other"}


def test_the_web_redirects_breaks_and_says_no(web: Web, store: Store) -> None:
    web.data, web.breaks_at = os.urandom(600_000), 300_000
    how = {"urls": UrlSettings(backoff_s=0.0)}
    take(store, f"{web.url}/moved", **how)
    assert files(store) == {"x/moved": web.data}
    assert web.asked[-1][1]["range"] == "bytes=300000-"
    with pytest.raises(NotFoundError, match="nothing at http"):
        take(store, f"{web.url}/none", **how)
    with pytest.raises(InvalidInputError, match="/away is no URL, or leads to one that is not followed"):
        take(store, f"{web.url}/away", **how)
