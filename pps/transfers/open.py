"""Which place a URL means."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pps.spec.delivery import PLAIN, Levers
from pps.spec.places import split
from pps.transfers.place import Target


def open_target(
    url: str,
    levers: Levers = PLAIN,
    secret: Mapping[str, str] | None = None,
    *,
    stop: threading.Event | None = None,
) -> Target:
    """Return the place that a URL means; ``levers`` and ``secret``: see `pps.transfers.access.find_access`.

    ``stop``: once it is set, what is under way ends with Stopped.

    Raises:
        InvalidInputError: it is no such URL, or S3 cannot be used as it is set up.
    """
    scheme, bucket, path = split(url)
    if scheme == "file":
        from pps.transfers.folder import Folder

        return Folder(path, stop=stop)
    from pps.transfers.access import find_access
    from pps.transfers.s3 import S3Target

    return S3Target(bucket, path, find_access(levers, secret), stop=stop)
