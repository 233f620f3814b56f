"""An error is answered after a small body was received: some clients lose an answer that overtakes what they write."""

import asyncio
from collections.abc import MutableMapping

import pytest

import s3api.bodies.passover as passover
from s3api.app import create_app
from s3api.gateway import Gateway
from tests.s3api.conftest import Server

Message = MutableMapping[str, object]
END = {"type": "http.request", "body": b"d", "more_body": False}
PART = {"type": "http.request", "body": b"abc", "more_body": True}
GONE = {"type": "http.disconnect"}


def exchange(server: Server, headers: dict[str, str], coming: list[Message | None]) -> tuple[int, int]:
    """Send an unsigned PUT with these messages (None never comes); return status and messages taken before it."""
    gateway = Gateway(server.store, server.keys)
    taken, answers = 0, list[tuple[int, int]]()

    async def receive() -> Message:
        nonlocal taken
        message = coming[taken]
        if message is None:
            await asyncio.Event().wait()
        taken += 1
        return message or {}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answers.append((int(str(message["status"])), taken))

    pairs = [(name.encode(), value.encode()) for name, value in {"host": "h", **headers}.items()]
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/b/k",
        "raw_path": b"/b/k",
        "query_string": b"",
        "scheme": "http",
    }
    asyncio.run(create_app(gateway)({**scope, "headers": pairs}, receive, send))
    gateway.close()
    return answers[0]


@pytest.mark.parametrize(
    ("headers", "coming", "taken"),
    [
        ({"content-length": "4"}, [PART, END, GONE], 2),
        ({"transfer-encoding": "chunked"}, [PART, PART, END, GONE], 3),
        ({"content-length": "4"}, [PART, GONE], 2),
        ({"content-length": "4", "expect": "100-continue"}, [PART, END], 0),
        ({"content-length": str(5 << 20)}, [PART, END], 0),
        ({"content-length": "no"}, [PART, END], 0),
        ({"content-length": "0"}, [END], 0),
        ({}, [END], 0),
    ],
)
def test_a_refusal_comes_after_the_body(
    server: Server, headers: dict[str, str], coming: list[Message | None], taken: int
) -> None:
    assert exchange(server, headers, coming) == (403, taken)


def test_a_body_that_does_not_come_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passover, "PASSED_S", 0.01)
    assert exchange(server, {"content-length": "4"}, [PART, None]) == (403, 1)


def test_no_more_than_the_limit_is_received(server: Server) -> None:
    large = {"type": "http.request", "body": bytes(1 << 20), "more_body": True}
    status, taken = exchange(server, {"transfer-encoding": "chunked"}, [large] * 20)
    assert (status, taken < 8) == (403, True)
