"""Listing to the end, page by page: every key once and in order, and no page costs more because of where it is."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from pfs.files.fileref import FileRef
from pfs.ids import PageId, TreeId, chunk_id
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.page import Kind, Page
from tests.s3api.conftest import Server, running

DATA = b"the same in each"
KEY = re.compile(rb"<Key>([^<]*)</Key>")
TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)<")
SIZES = [
    pytest.param(12_345),
    pytest.param(10_000_000, marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
]


def key_of(number: int) -> str:
    """Sorted as numbers are; some directories are flat and wide, others hold a thousand."""
    return f"d{number // 1000:05}/f{number:08}" if number % 200_000 < 100_000 else f"w{number:08}"


def make(repo: Repo, keys: int) -> None:
    id = chunk_id(DATA)
    with repo.commit("master") as commit:
        commit.session.put_chunks([(id, DATA)])
        for number in range(keys):
            commit.put_ref(key_of(number).encode(), FileRef(Kind.FILE, len(DATA), TreeId(id)))


def pages(server: Server, token: bytes | None = None) -> Iterator[list[bytes]]:
    """Yield the keys of page after page."""
    while True:
        more = f"&continuation-token={quote(token.decode())}" if token is not None else ""
        body = server.request("GET", f"/many?list-type=2{more}").body
        yield KEY.findall(body)
        found = TOKEN.search(body)
        if found is None:
            return
        token = found[1]


@pytest.mark.parametrize("keys", SIZES)
def test_all_keys_come_once_and_in_order(home: Store, keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make(home.create_repo("many"), keys)
    read = list[PageId]()
    get_page = home.objects.get_page

    def counted(pid: PageId) -> Page:
        read.append(pid)
        return get_page(pid)

    monkeypatch.setattr(home.objects, "get_page", counted)
    with running(home) as server:
        last, count, costs = b"", 0, list[int]()
        for page in pages(server):
            assert page == sorted(page)
            assert last < page[0]
            last, count = page[-1], count + len(page)
            costs.append(len(read))
            read.clear()
        assert count == keys
        assert max(costs) <= 40
        wanted = sorted(key_of(number).encode() for number in range(keys - keys % 1000, keys))
        assert next(pages(server, urlsafe_b64encode(wanted[0])))[-1] == last
