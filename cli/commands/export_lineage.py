"""`pps export-lineage`: jobs as OpenLineage events, for a file or a server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from cli import wiring
from cli.commands.job import job_address
from cli.exits import usage_error

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.model.infos import JobInfo

_KEY = "OPENLINEAGE_API_KEY"


@click.command("export-lineage")
@click.argument("job", metavar="[PIPELINE@JOB|PIPELINE]", required=False)
@click.option("--all", "everything", is_flag=True, help="All jobs of all pipelines.")
@click.option(
    "--to",
    "target",
    default="-",
    metavar="FILE|URL|-",
    help=f"A file, which is replaced, or a server (Marquez, DataHub …), with the key in {_KEY}. Default: stdout.",
)
@click.option("--namespace", metavar="NAME", help="Of jobs and datasets. Default: pfs://<uuid of the store>.")
def export_lineage(job: str | None, everything: bool, target: str, namespace: str | None) -> None:
    """Tell jobs as OpenLineage events, the oldest first: one JSON object a line, or one request each to a URL."""
    from pps.lineage.openlineage import run_events

    if (job is None) != everything:
        raise usage_error("give a job as PIPELINE@JOB, a pipeline for all of its jobs, or --all")
    with wiring.open_store() as store:
        events = run_events(store, _jobs(store, job), namespace=namespace)
        if target.startswith(("http://", "https://")):
            from pps.lineage.deliver import deliver

            key = os.environ.get(_KEY)
            sent = deliver(events, target, headers={"Authorization": f"Bearer {key}"} if key else None)
            click.echo(sent)
            return
        with _opened(target) as out:
            for event in events:
                out.write(json.dumps(event, ensure_ascii=False) + "\n")


def _jobs(store: Store, named: str | None) -> list[JobInfo]:
    from pps.jobs.jobs import Jobs

    jobs = Jobs(store)
    if named is not None and "@" in named:
        return [jobs.job(*job_address(named))]
    return sorted(jobs.jobs(named), key=lambda one: (one.started_ns, one.pipeline))


@contextmanager
def _opened(target: str) -> Iterator[TextIO]:
    from pfs.errors import StorageError

    if target == "-":
        yield sys.stdout
        return
    try:
        with open(target, "w", encoding="utf-8") as out:
            yield out
    except OSError as error:
        raise StorageError(f"write {target}", error.strerror or str(error)) from error
