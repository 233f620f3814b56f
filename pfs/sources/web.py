"""Files over HTTP: redirects, answers that say try again, and transfers that break and go on where they were."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError, ProtocolError

from pfs.errors import InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.sources.names import media_type, name_of, shown
from pfs.sources.remote import Fetched, Known, RemoteFile, Resuming

ProxyOf = Callable[[str], str | None]
_TIMEOUT: Final = urllib3.Timeout(connect=15, read=30)
_PAUSE_S: Final = 20.0
_TRY_AGAIN: Final = (429, 500, 502, 503, 504)
_GONE: Final = {404, 410}
_NOT_MODIFIED: Final = 304
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Retry(urllib3.Retry):
    """Waits as long as the server asks for, but not for hours."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the pause in seconds; None without a wish."""
        wished = super().get_retry_after(response)
        return None if wished is None else min(wished, _PAUSE_S)


class Web:
    """HTTP and HTTPS; see `Origin`."""

    def __init__(self, *, user_agent: str, proxy_of: ProxyOf, pause: Callable[[int], None], backoff_s: float) -> None:
        self._headers = {"user-agent": user_agent, "accept": "*/*", "accept-encoding": "identity"}
        self._proxy_of, self._pause, self._backoff_s = proxy_of, pause, backoff_s
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def file(self, url: str, *, known: Known | None = None) -> RemoteFile:
        """Return the file that a URL names, by the last part of its path.

        ``known``: a version of which the bytes need not come again; what is opened says whether it still is that.
        """

        @contextmanager
        def opened(stop: threading.Event) -> Iterator[Fetched]:
            transfer = _Transfer(self._get, url, known or Known())
            with Resuming(transfer, shown(url), broken=(OSError, HTTPError), stop=stop, pause=self._pause) as stream:
                stream.begin()
                body = cast("BinaryIO", stream)  # it reads as one
                yield Fetched(body, media_type(transfer.mime), known=transfer.known)

        return RemoteFile(name_of(url), shown(url), opened)

    def below(self, url: str) -> Iterator[RemoteFile]:
        """Refuse: HTTP has no directories, and the pages that some servers make of them are for people."""
        raise InvalidInputError(f"{shown(url)}: HTTP lists no directories, so -r does not take it; name files with -i")

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        retries = _Retry(
            total=None,
            connect=4,
            read=4,
            status=4,
            other=0,
            redirect=10,
            status_forcelist=_TRY_AGAIN,
            raise_on_status=False,
            backoff_factor=self._backoff_s,
            backoff_max=_PAUSE_S,
        )
        try:
            return self._pool(url).request(
                "GET",
                url,
                headers={**self._headers, **_credentials(url), **headers},
                preload_content=False,
                decode_content=False,
                timeout=_TIMEOUT,
                retries=retries,
            )
        except (LocationParseError, ValueError) as error:
            raise InvalidInputError(f"{shown(url)} is no URL, or leads to one that is not followed: {error}") from error
        except MaxRetryError as error:
            reason = " ".join(str(error.reason or error).split())
            raise StorageError(f"read {shown(url)}", reason) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxy_of(url)
        with self._lock:
            if proxy not in self._pools:
                made = urllib3.PoolManager(maxsize=64) if proxy is None else urllib3.ProxyManager(proxy, maxsize=64)
                self._pools[proxy] = made
            return self._pools[proxy]


class _Transfer:
    """One file: what the first answer said of it, which later ones must agree with."""

    def __init__(self, get: Callable[[str, dict[str, str]], urllib3.BaseHTTPResponse], url: str, asked: Known) -> None:
        self._get, self._url, self._asked = get, url, asked
        self.known = Known()
        """Which version it is."""
        self._validator: str | None = None
        self.size: int | None = None
        self.mime: str | None = None

    def request(self, offset: int) -> urllib3.BaseHTTPResponse:
        """Return the answer with the bytes from ``offset`` on."""
        if offset and self._validator is None:
            raise self._broke(offset, "the server sends no ETag or date, by which it could be resumed")
        headers = {"range": f"bytes={offset}-", "if-range": self._validator or ""} if offset else self._conditions()
        answer = self._get(self._url, headers)
        try:
            self._check_status(answer)
            if offset:
                self._check_continues(answer, offset)
            else:
                self.known = self._known(answer)
                self.size = 0 if self.known.is_same else _size(answer)
                self._validator = _validator(answer)
                self.mime = answer.headers.get("content-type")
        except (PfsError, ProtocolError):
            answer.close()
            raise
        return answer

    def _conditions(self) -> dict[str, str]:
        asked = self._asked
        conditions = {"if-none-match": asked.etag, "if-modified-since": "" if asked.etag else asked.modified}
        return {name: value for name, value in conditions.items() if value}

    def _known(self, answer: urllib3.BaseHTTPResponse) -> Known:
        if answer.status == _NOT_MODIFIED:
            return Known(self._asked.etag, self._asked.modified, is_same=True)
        return Known(answer.headers.get("etag", ""), answer.headers.get("last-modified", ""))

    def _check_status(self, answer: urllib3.BaseHTTPResponse) -> None:
        if answer.status in {200, 206} or (answer.status == _NOT_MODIFIED and self._conditions()):
            return
        said = f"the server answered {answer.status} {answer.reason or ''}".rstrip()
        if answer.status in _GONE:
            raise NotFoundError(f"nothing at {shown(self._url)}: {said}")
        raise StorageError(f"read {shown(self._url)}", said)

    def _check_continues(self, answer: urllib3.BaseHTTPResponse, offset: int) -> None:
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if answer.status != 206 or found is None or int(found[1]) != offset:
            raise self._broke(offset, "the file changed meanwhile, or the server sends no parts of it")

    def _broke(self, offset: int, why: str) -> StorageError:
        return StorageError(f"read {shown(self._url)}", f"the transfer broke after {offset} bytes, and {why}")


def _size(answer: urllib3.BaseHTTPResponse) -> int | None:
    """Return how many bytes were announced; None for an answer in chunks, or one that ends with the connection.

    Raises:
        ProtocolError: an answer that should say it does not: its headers were cut off.
    """
    length, transfer = answer.headers.get("content-length", ""), answer.headers.get("transfer-encoding", "")
    if length.isdecimal():
        return int(length)
    closing = answer.headers.get("connection", "").lower() == "close" or answer.version == 10
    if "chunked" not in transfer.lower() and not closing:
        raise ProtocolError("the headers of the answer were cut off")
    return None


def _validator(answer: urllib3.BaseHTTPResponse) -> str | None:
    """Return what tells this version of the file from others, as If-Range takes it."""
    etag = answer.headers.get("etag")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("last-modified")


def _credentials(url: str) -> dict[str, str]:
    """Return the header for ``user:password@`` in a URL."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(urllib3.make_headers(basic_auth=pair))
