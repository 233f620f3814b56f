"""What `pfs serve` was told of its S3 gateway, as a value that also travels to worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pfs.store import Store
    from s3api.audit.log import AuditLog
    from s3api.gateway import Gateway
    from s3api.http.server import Listen


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway listens, what it serves to whom, and in how many processes."""

    host: str = "127.0.0.1"
    port: int = 30600
    tls_cert: str | None = None
    tls_key: str | None = None
    domains: tuple[str, ...] = ()
    anonymous: tuple[str, ...] = ()
    workers: int = 1
    audit_log: str | None = None
    """A file, or ``-`` for stderr."""

    def listen(self) -> Listen:
        """Return what the server binds."""
        from s3api.http.server import Listen

        cert, key = (None if name is None else Path(name) for name in (self.tls_cert, self.tls_key))
        return Listen(host=self.host, port=self.port, tls_cert=cert, tls_key=key)

    def gateway(self, store: Store) -> Gateway:
        """Return a gateway of this process; each of several has its part of the memory.

        Raises:
            NotFoundError: a repo that anyone may read does not exist.
            StorageError: the audit log cannot be opened.
        """
        from pfs.keys import Keys
        from s3api.gateway import Gateway

        for repo in self.anonymous:
            store.repo(repo)
        return Gateway(
            store,
            Keys(store),
            domains=self.domains,
            anonymous_read=self.anonymous,
            processes=self.workers,
            audit=self._audit(),
        )

    def _audit(self) -> AuditLog | None:
        from s3api.audit.log import AuditLog

        if self.audit_log is None:
            return None
        return AuditLog(2 if self.audit_log == "-" else Path(self.audit_log))

    def url(self, host: str, port: int) -> str:
        """Return the address for clients."""
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
