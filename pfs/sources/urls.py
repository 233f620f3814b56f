"""From a URL to what it leads to: one explicit table of schemes; libraries are imported when their scheme is met."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pfs.sources.names import scheme_of
from pfs.sources.remote import Origin


def _no_proxy(url: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSettings:
    """What the user's surroundings say about reaching others.

    ``endpoint_url``: of S3, in place of what boto3 finds. ``proxy_of`` gives the proxy for an HTTP URL. ``backoff_s``:
    the first pause after a failure, in seconds; later ones double.
    """

    user_agent: str = "pfs"
    endpoint_url: str | None = None
    proxy_of: Callable[[str], str | None] = _no_proxy
    backoff_s: float = 0.5

    def pause(self, failures: int) -> None:
        """Wait after so many failures in a row."""
        time.sleep(min(20.0, self.backoff_s * 2 ** (failures - 1)))


class Origins:
    """The other sides of one put, each made once; thread-safe."""

    def __init__(self, settings: UrlSettings) -> None:
        self._settings = settings
        self._made: dict[str, Origin] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> Origin:
        """Return what a URL's scheme means; it has one that is not ``file``.

        Raises:
            InvalidInputError: the scheme is not known, or what it needs is not installed or set up.
        """
        scheme = scheme_of(url) or ""
        scheme = "http" if scheme == "https" else scheme
        with self._lock:
            if scheme not in self._made:
                self._made[scheme] = self._make(scheme)
            return self._made[scheme]

    def _make(self, scheme: str) -> Origin:
        settings = self._settings
        match scheme:
            case "http":
                from pfs.sources.web import Web

                return Web(
                    user_agent=settings.user_agent,
                    proxy_of=settings.proxy_of,
                    pause=settings.pause,
                    backoff_s=settings.backoff_s,
                )
            case "s3":
                from pfs.sources.s3 import S3

                return S3(endpoint_url=settings.endpoint_url, user_agent=settings.user_agent, pause=settings.pause)
            case _:
                from pfs.sources.elsewhere import Elsewhere

                return Elsewhere(scheme)
