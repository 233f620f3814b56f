"""How this user reaches other machines: what the environment says of proxies, and the name that we go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfs.sources.urls import Origins


def origins(endpoint_url: str | None) -> Origins:
    """Return what URLs lead to; nothing is reached before one is opened."""
    from pfs import __version__
    from pfs.sources.urls import Origins, UrlSettings

    return Origins(UrlSettings(user_agent=f"pfs/{__version__}", endpoint_url=endpoint_url, proxy_of=proxy_of))


def proxy_of(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system, want for a URL."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
