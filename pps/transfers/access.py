"""Where an S3 is and as whom it is asked: from levers, a secret, or what boto3 finds by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from pfs.errors import InvalidInputError
from pps.spec.delivery import Levers

NAMES: Final = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_REGION": "region_name",
    "AWS_DEFAULT_REGION": "region_name",
    "AWS_PROFILE": "profile_name",
}
_ENDPOINT: Final = "AWS_ENDPOINT_URL"
SETTINGS: Final = frozenset({*NAMES, _ENDPOINT})
"""What a secret may say about where and as whom; the names are those of boto3's variables."""
_HOST_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials of one moment."""

    id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """An S3 as it is asked. ``keys`` gives the credentials of now, None for requests that are not signed.

    ``virtual``: buckets are in the name of the host where they can be. ``moves``: it is AWS, whose buckets may be in
    other regions than the one that was said. ``authority``: a file of certificates; None: those that botocore has.
    """

    endpoint: str
    region: str
    keys: Callable[[], Keys | None]
    virtual: bool
    moves: bool
    authority: str | None = None
    proxy: str | None = None

    def base_of(self, bucket: str, region: str) -> tuple[str, str]:
        """Return the address of a bucket: scheme and host, and what of the path comes before a key."""
        parts = urlsplit(self.endpoint)
        host = parts.netloc
        if self.moves and region != self.region:
            host = host.replace(f".{self.region}.", f".{region}.") if f".{self.region}." in host else host
            host = f"s3.{region}.amazonaws.com" if host == "s3.amazonaws.com" else host
        if self.virtual and _HOST_NAME.fullmatch(bucket):
            return f"{parts.scheme}://{bucket}.{host}", parts.path.rstrip("/")
        return f"{parts.scheme}://{host}", f"{parts.path.rstrip('/')}/{bucket}"


def find_access(levers: Levers, secret: Mapping[str, str] | None = None) -> Access:
    """Return how S3 is asked: what a ``secret`` says (`SETTINGS`), then the levers, then what boto3 finds by itself.

    Raises:
        InvalidInputError: it cannot be used as it is set up, such as a profile that is not there.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    secret = secret or {}
    given = {NAMES[name]: value for name, value in secret.items() if name in NAMES}
    given.setdefault("region_name", levers.region) if levers.region else None
    if levers.profile and "aws_access_key_id" not in given:
        given.setdefault("profile_name", levers.profile)
    endpoint = secret.get(_ENDPOINT) or levers.endpoint or None
    try:
        session = boto3.session.Session(**given)
        client = session.client("s3", endpoint_url=endpoint, config=Config(connect_timeout=15))
        found = session.get_credentials()
        scoped = session._session.get_scoped_config().get("s3") or {}
        authority = session._session.get_config_variable("ca_bundle")
    except (BotoCoreError, ValueError) as error:
        raise InvalidInputError(f"S3 cannot be used as it is set up: {' '.join(str(error).split())}") from error
    url = str(client.meta.endpoint_url)
    moves = urlsplit(url).netloc.partition(":")[0].endswith((".amazonaws.com", ".amazonaws.com.cn"))
    wished = levers.addressing or (scoped.get("addressing_style") if isinstance(scoped, dict) else "")
    virtual = wished == "virtual" or (moves and wished != "path")
    region = str(client.meta.region_name or "us-east-1")
    client.close()
    region = "us-east-1" if region == "aws-global" else region

    def keys() -> Keys | None:
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    return Access(url, region, keys, virtual, moves, authority or None, _proxy(url))


def _proxy(url: str) -> str | None:
    from botocore.utils import get_environ_proxies

    found = get_environ_proxies(url).get(urlsplit(url).scheme)
    return str(found) if found else None
