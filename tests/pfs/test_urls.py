"""URLs as sources: what arrives is the whole file of one version, or an error that names the URL."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs
from pfs.errors import InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.intake import Intake, PutHow
from pfs.repo import Repo
from pfs.sources.names import name_of, scheme_of, shown
from pfs.sources.remote import Origin
from pfs.sources.urls import Origins, UrlSettings
from tests.pfs.web_world import Page, World, web

BIG = random.Random(11).randbytes(3_000_000)


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    with web() as world:
        yield world


@pytest.fixture
def world(served: World) -> World:
    served.pages.clear()
    served.asked.clear()
    return served


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return pfs.init(tmp_path / "store").create_repo("r")


def origin(url: str) -> Origin:
    return Origins(UrlSettings(user_agent="pfs/test", backoff_s=0)).of(url)


def put(repo: Repo, *urls: str, how: PutHow | None = None) -> None:
    with repo.commit("b") as commit:
        intake = Intake(commit, how or PutHow(), alone=len(urls) == 1)
        intake.remote((f"/{number}", origin(url).file(url)) for number, url in enumerate(urls))
        intake.finish()


def test_what_comes_over_the_web(world: World, repo: Repo) -> None:
    world.pages["/d/a%20b.csv"] = Page(b"1,2\n", type="text/csv; charset=utf-8")
    world.pages["/raw"] = Page(BIG, type="application/octet-stream")
    put(repo, f"{world.url}/d/a%20b.csv?signature=secret", f"{world.url}/raw")
    view = repo["b"]
    assert (view.read("/0"), view.stat("/0").mime) == (b"1,2\n", "text/csv; charset=utf-8")
    assert (view.read("/1"), view.stat("/1").mime) == (BIG, None)
    asked = dict(world.asked)
    assert asked["/raw"]["user-agent"] == "pfs/test"
    assert asked["/raw"]["accept-encoding"] == "identity"


def test_redirects_and_answers_that_say_try_again(world: World, repo: Repo) -> None:
    world.pages["/old"] = Page(status=302, location="/newer")
    world.pages["/newer"] = Page(status=307, location=f"{world.url}/new")
    world.pages["/new"] = Page(b"here", failures=[503, 429, 500])
    put(repo, f"{world.url}/old")
    assert repo["b"].read("/0") == b"here"


@pytest.mark.parametrize(
    ("page", "error", "message"),
    [
        (Page(status=404), NotFoundError, "the server answered 404 Not Found"),
        (Page(status=410), NotFoundError, "the server answered 410 Gone"),
        (Page(status=403), StorageError, "the server answered 403 Forbidden"),
        (Page(status=503), StorageError, "the server answered 503 Service Unavailable"),
        (Page(status=302, location="/page"), StorageError, "too many redirects"),
    ],
)
def test_errors_name_url_and_status(world: World, repo: Repo, page: Page, error: type[PfsError], message: str) -> None:
    world.pages["/page"] = page
    with pytest.raises(error) as caught:
        put(repo, f"{world.url.replace('http://', 'http://user:pw@')}/page?signature=secret")
    assert f"{world.url}/page?…" in str(caught.value)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "pw" not in str(caught.value)
    assert repo.branches() == []


def test_a_server_that_is_not_there(repo: Repo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else gets the port
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match="refused"):
            put(repo, f"http://127.0.0.1:{port}/x")
    for url in ("http://[bad/x", "http:///x", "http://h:99999999/x"):
        with pytest.raises(PfsError):
            put(repo, url)


def test_user_and_password_of_a_url_are_sent(world: World, repo: Repo) -> None:
    world.pages["/x"] = Page(b"1")
    put(repo, f"{world.url.replace('http://', 'http://us%40er:p%3Aw@')}/x")
    assert world.asked[0][1]["authorization"] == "Basic dXNAZXI6cDp3"


def test_a_broken_transfer_goes_on_where_it_was(world: World, repo: Repo) -> None:
    world.pages["/x"] = Page(BIG, cuts=[1_000_000, 1, 700_000, 0])
    put(repo, f"{world.url}/x")
    assert repo["b"].read("/0") == BIG
    assert ["range" in headers for _, headers in world.asked] == [False, True, True, True, True]


def test_a_broken_transfer_of_a_file_that_changed_is_an_error(world: World, repo: Repo) -> None:
    page = world.pages["/x"] = Page(BIG, cuts=[1_000_000])

    def change() -> None:
        page.data, page.etag = BIG[::-1], '"2"'

    page.changed = change
    with pytest.raises(StorageError, match=r"after \d+ bytes, and the file changed meanwhile"):
        put(repo, f"{world.url}/x")


@pytest.mark.parametrize("page", [Page(BIG, cuts=[1_000_000], etag=None), Page(BIG, cuts=[1_000_000], ranges=False)])
def test_a_broken_transfer_that_cannot_be_resumed_is_an_error(world: World, repo: Repo, page: Page) -> None:
    world.pages["/x"] = page
    with pytest.raises(StorageError, match=r"/x: the transfer broke after \d+ bytes, and"):
        put(repo, f"{world.url}/x")
    assert repo.branches() == []


def test_a_transfer_that_breaks_before_its_first_byte_begins_anew(world: World, repo: Repo) -> None:
    world.pages["/x"] = Page(BIG, cuts=[0, 0], etag=None)
    put(repo, f"{world.url}/x")
    assert repo["b"].read("/0") == BIG
    world.pages["/x"] = Page(BIG, cuts=[0] * 50)
    with pytest.raises(StorageError, match="5 times in a row"):
        put(repo, f"{world.url}/x")


@pytest.mark.parametrize("cut", range(0, 80, 3))
def test_headers_that_are_cut_off_are_no_empty_file(world: World, repo: Repo, cut: int) -> None:
    world.pages["/x"] = Page(b"all of it", headers=cut)
    put(repo, f"{world.url}/x")
    assert repo["b"].read("/0") == b"all of it"
    assert len(world.asked) == 2


def test_many_at_once_keep_their_order_and_stop_at_an_error(world: World, repo: Repo) -> None:
    names = [f"/{number}" for number in range(40)]
    for name in names:
        world.pages[name] = Page(name.encode() * 20_000)
    put(repo, *[world.url + name for name in names], how=PutHow(jobs=5))
    assert [repo["b"].read(name) for name in names] == [name.encode() * 20_000 for name in names]
    world.pages["/11"] = Page(status=404)
    before = repo["b"].info.id
    with pytest.raises(NotFoundError, match="/11"):
        put(repo, *[world.url + name for name in names], how=PutHow(jobs=3))
    assert repo["b"].info.id == before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch")]


class InterruptedInTestError(Exception):
    """As Ctrl-C raises in the middle of a put."""


def test_an_interrupt_ends_transfers_under_way(world: World, repo: Repo) -> None:
    class Stop:
        def total(self, files: int, size: int) -> None: ...

        def advance(self, *, files: int = 0, size: int = 0) -> None:
            raise InterruptedInTestError

    for name in "abc":
        world.pages[f"/{name}"] = Page(BIG)
    with pytest.raises(InterruptedInTestError):
        put(repo, *[f"{world.url}/{name}" for name in "abc"], how=PutHow(progress=Stop()))
    assert repo.branches() == []


def test_append_from_the_web_keeps_what_the_file_was_said_to_be(world: World, repo: Repo) -> None:
    world.pages["/x"] = Page(b"more", type="text/html")
    with repo.commit("b") as commit:
        commit.put_file("/0", b"some ", mime="text/plain")
    put(repo, f"{world.url}/x", how=PutHow(append=True))
    assert (repo["b"].read("/0"), repo["b"].stat("/0").mime) == (b"some more", "text/plain")


def test_http_cannot_be_listed() -> None:
    with pytest.raises(InvalidInputError, match="lists no directories"):
        list(origin("http://h/d/").below("http://h/d/"))


def test_any_file_system_of_fsspec(repo: Repo) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("a", "d/b", "d/e/c"):
        memory.pipe(f"/here/{name}", name.encode())
    found = {file.name: file for file in origin("memory://").below("memory://here")}
    assert sorted(found) == ["a", "d/b", "d/e/c"]
    with repo.commit("b") as commit:
        intake = Intake(commit, PutHow())
        intake.remote((f"/{name}", file) for name, file in found.items())
        intake.finish()
    assert repo["b"].read("/d/e/c") == b"d/e/c"
    for url in ("memory://here/none", "memory://nowhere/"):
        with pytest.raises(NotFoundError, match=url):
            list(origin(url).below(url)) if url.endswith("/") else put(repo, url)
    with pytest.raises(InvalidInputError, match="pip install fsspec gcsfs"):
        origin("gs://bucket/x")
    with pytest.raises(InvalidInputError, match="no scheme"):
        origin("nonsense://x")


@pytest.mark.parametrize(
    ("url", "name"),
    [("http://h/a/b.csv?x=/y#z", "b.csv"), ("https://h/%E6%97%A5", "日"), ("s3://b/d/a%20b?c", "a%20b?c"),
     ("http://h/a%2Fb", "b"), ("http://h", None), ("http://h/d/", None), ("s3://bucket", None), ("s3://b/d/", None)],
)  # fmt: skip
def test_base_names(url: str, name: str | None) -> None:
    if name is not None:
        assert name_of(url) == name
        return
    with pytest.raises(InvalidInputError, match="names no file"):
        name_of(url)


def test_what_is_a_url() -> None:
    assert [scheme_of(word) for word in ("HTTP://x", "s3://b", "a+b://c")] == ["http", "s3", "a+b"]
    assert [scheme_of(word) for word in ("http:/x", "./s3://b", "c:\\x", "a/b://c")] == [None] * 4
    assert shown("https://u:p@h:1/x#f") == "https://h:1/x"


def test_a_stop_is_seen_between_bytes(world: World) -> None:
    world.pages["/x"] = Page(BIG)
    stop = threading.Event()
    with origin(world.url).file(f"{world.url}/x").open(stop) as fetched:
        assert fetched.stream.read(10)
        stop.set()
        with pytest.raises(StorageError, match="stopped"):
            fetched.stream.read(10)


def test_proxies_are_asked_for(world: World, repo: Repo) -> None:
    asked: list[str] = []

    def proxy_of(url: str) -> str | None:
        asked.append(url)
        return world.url

    world.pages["http://elsewhere.invalid/x"] = Page(b"through")
    made = Origins(UrlSettings(proxy_of=proxy_of, backoff_s=0))
    with repo.commit("b") as commit:
        url = "http://elsewhere.invalid/x"
        intake = Intake(commit, PutHow(), alone=True)
        intake.remote([("/x", made.of(url).file(url))])
    assert repo["b"].read("/x") == b"through"
    assert asked == ["http://elsewhere.invalid/x"]
