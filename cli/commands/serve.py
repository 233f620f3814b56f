"""`pfs serve`: the S3 gateway and the pipeline controller in one process."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli import options, wiring
from cli.exits import usage_error


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=30600, show_default=True, help="0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve S3.")
@click.option("--domain", "domains", multiple=True, help="Also serve BUCKET.DOMAIN (virtual-host style); repeatable.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Serve HTTPS with this certificate (PEM).")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The key of the certificate (PEM).")
@click.option("--anonymous-read", "anonymous", multiple=True, metavar="REPO", help="Let anyone read this repo.")
@click.option("--audit-log", metavar="FILE", help="Append a line of JSON for each S3 request; - is stderr.")
@click.option("--no-pipelines", is_flag=True, help="No pipeline controller.")
@click.option("--no-s3", is_flag=True, help="No S3 gateway.")
@click.option("--no-upkeep", is_flag=True, help="No retention and collection once an hour: run `pfs gc` yourself.")
@options.gpus_option
@click.option("--standby", is_flag=True, help="Wait while another serves this store, and take over when it is gone.")
def serve(
    host: str,
    port: int,
    workers: int,
    domains: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    anonymous: tuple[str, ...],
    audit_log: str | None,
    no_pipelines: bool,
    no_s3: bool,
    no_upkeep: bool,
    gpus: str,
    standby: bool,
) -> None:
    """Serve the store over S3 and run pipelines as commits arrive, until SIGTERM or Ctrl-C; both drain.

    Once an hour, if anything changed, it does what `pfs gc --min-age 10m` does.

    With --standby a second one waits: it takes over at once when the first has died. Pipelines it also takes over when
    the first is silent for 15 seconds; that one commits nothing of them any more when it wakes up.
    """
    from cli.daemon import Daemon
    from cli.front import Front

    if not host:
        raise usage_error("--host is empty: write 127.0.0.1, or 0.0.0.0 for every address")
    if no_pipelines and no_s3:
        raise usage_error("--no-pipelines and --no-s3 together leave nothing to serve")
    if (tls_cert is None) != (tls_key is None):
        raise usage_error("--tls-cert and --tls-key go together")
    if audit_log == "":
        raise usage_error("--audit-log is empty: write a file, or - for stderr")
    cert, key = (None if path is None else str(path.absolute()) for path in (tls_cert, tls_key))
    front = Front(
        host=host,
        port=port,
        tls_cert=cert,
        tls_key=key,
        domains=domains,
        anonymous=anonymous,
        workers=workers,
        audit_log=audit_log if audit_log in {None, "-"} else os.path.abspath(str(audit_log)),
    )
    with wiring.open_store() as store:
        front_or_none = None if no_s3 else front
        Daemon(
            store,
            front=front_or_none,
            pipelines=not no_pipelines,
            upkeep=not no_upkeep,
            standby=standby,
            gpus=wiring.ids(gpus),
        ).run()
