"""Callers without a key: they read what was opened to them, and nothing else."""

from collections.abc import Iterator

import pytest

import pfs
from tests.s3api.conftest import Server, running


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets anyone read the repo ``open``, and nobody ``shut``."""
    with pfs.init(tmp_path_factory.mktemp("home")) as store:
        for name in ("open", "shut"):
            with store.create_repo(name).commit("master") as commit:
                commit.put_file("/k", b"data")
        with running(store, anonymous_read=["open"]) as live:
            yield live


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 403),
        ("GET", "/open", 200),
        ("GET", "/open?list-type=2", 200),
        ("GET", "/open?location", 200),
        ("HEAD", "/open", 200),
        ("GET", "/open/k", 200),
        ("HEAD", "/open/k", 200),
        ("GET", "/shut", 403),
        ("GET", "/shut/k", 403),
        ("HEAD", "/shut/k", 403),
        ("GET", "/none/k", 403),
        ("PUT", "/open/k", 403),
        ("POST", "/open?delete", 403),
        ("POST", "/open/k?uploads", 403),
        ("DELETE", "/open/k", 403),
        ("DELETE", "/open", 403),
        ("PUT", "/new", 403),
    ],
)
def test_what_a_caller_without_a_key_may_do(opened: Server, method: str, path: str, status: int) -> None:
    reply = opened.request(method, path, sign=False)
    assert reply.status == status
    if status == 403:
        assert reply.code == ("" if method == "HEAD" else "AccessDenied")


def test_an_empty_authorization_is_none(opened: Server) -> None:
    assert opened.request("GET", "/open/k", headers={"Authorization": ""}, sign=False).body == b"data"
    assert opened.request("PUT", "/open/k", headers={"Authorization": ""}, sign=False).code == "AccessDenied"


def test_only_signed_requests_set_the_headers_of_the_answer(opened: Server) -> None:
    path = "/open/k?response-content-type=text/html"
    for method, code in (("GET", "InvalidRequest"), ("HEAD", "")):
        refused = opened.request(method, path, sign=False)
        assert (refused.status, refused.code) == (400, code)
    assert opened.request("GET", "/shut/k?response-expires=0", sign=False).code == "AccessDenied"
    assert opened.request("GET", path).headers["content-type"] == "text/html"


def test_a_refused_head_has_no_body(opened: Server) -> None:
    """The headers say what GET would answer; the connection is good for the next request."""
    for headers in ({}, {"Authorization": "AWS AKID:x"}, {"Authorization": "AWS4-HMAC-SHA256 x"}):
        reply = opened.request("HEAD", "/shut/k", headers=headers, sign=False)
        assert reply.status in {400, 403}
        assert reply.body == b""
        assert int(reply.headers["content-length"]) > 0
