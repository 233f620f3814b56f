"""OpenLineage events sent to a server, one request each, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pfs.errors import FailedError, InvalidInputError, StorageError
from pfs.shorten import shorten

if TYPE_CHECKING:
    import urllib3

    from pps.lineage.openlineage import Event

_ENDPOINT: Final = "/api/v1/lineage"
_TRIES: Final = 5
_BACKOFF_S: Final = 0.5
_TIMEOUT_S: Final = 30.0


def deliver(
    events: Iterable[Event], url: str, *, headers: Mapping[str, str] | None = None, backoff_s: float = _BACKOFF_S
) -> int:
    """POST events to ``url`` (without a path: to its ``/api/v1/lineage``) and return how many were taken.

    A server that cannot be reached, is busy or fails (429, 5xx) is tried 5 times in all, ``backoff_s`` apart and then
    twice as long each time, or as it says itself. What was sent before an error stays sent: events have fixed ids, so
    all may be sent again.

    Raises:
        InvalidInputError: the URL is none of http or https.
        StorageError: the server cannot be reached, or fails each time.
        FailedError: it refuses an event; with what it says.
    """
    import urllib3

    target = _target(url)
    # Nothing is followed: a POST that is sent elsewhere becomes a GET with most clients, and loses the event.
    retry = urllib3.Retry(
        total=_TRIES - 1,
        redirect=0,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        backoff_factor=backoff_s,
        raise_on_status=False,
        raise_on_redirect=False,
    )
    sent = 0
    with urllib3.PoolManager(retries=retry, timeout=urllib3.Timeout(_TIMEOUT_S)) as pool:
        for event in events:
            _post(pool, target, event, headers=headers or {})
            sent += 1
    return sent


def _target(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInputError(f"{shorten(url)} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInputError(f"{shorten(url)} is no URL of a server: write https://host[:port]")
    return url if parts.path not in {"", "/"} else f"{parts.scheme}://{parts.netloc}{_ENDPOINT}"


def _post(pool: urllib3.PoolManager, url: str, event: Event, *, headers: Mapping[str, str]) -> None:
    from urllib3.exceptions import HTTPError

    body = json.dumps(event, ensure_ascii=False).encode()
    try:
        answer = pool.request("POST", url, body=body, headers={**headers, "Content-Type": "application/json"})
    except HTTPError as error:
        raise StorageError(f"send lineage to {url}", str(error)) from error
    if answer.status >= 500 or answer.status == 429:
        raise StorageError(f"send lineage to {url}", f"it answered {answer.status} {_TRIES} times")
    if answer.status >= 300:
        said = shorten(answer.data.decode(errors="replace").strip())
        raise FailedError(f"{url} refused an event with {answer.status}: {said or 'it gave no reason'}")
