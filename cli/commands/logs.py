"""`pps logs`: what user code wrote."""

from __future__ import annotations

import time
from contextlib import nullcontext

import click

from cli import stdio, wiring
from cli.durations import seconds
from cli.exits import usage_error


@click.command("logs")
@click.option("-p", "--pipeline", help="The pipeline.")
@click.option("-j", "--job", metavar="[PIPELINE@]JOB", help="Only this job; default: the newest.")
@click.option("--datum", help="Only this datum.")
@click.option("--inputs", metavar="PATH[,PATH…]", help="Only datums with these files or directories as input.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-t", "--tail", type=click.IntRange(min=0), help="Only so many last lines.")
@click.option("--since", metavar="DURATION", help="Only lines of this last time, such as 15m or 24h; default: all.")
@click.option("--json", "--raw", "as_json", is_flag=True, help="Print JSON, for scripts.")
def logs(
    pipeline: str | None,
    job: str | None,
    datum: str | None,
    inputs: str | None,
    follow: bool,
    tail: int | None,
    since: str | None,
    as_json: bool,
) -> None:
    """Print what the user code of a job wrote to stdout and stderr."""
    import json

    from cli.pipeline_records import log_record
    from pps.jobs.jobs import Jobs

    name, ref = _which(pipeline, job)
    if inputs is not None and (datum is not None or follow):
        raise usage_error("--inputs goes with neither --datum nor --follow")
    paths = [] if inputs is None else [path for path in inputs.split(",") if path]
    since_ns = None if since is None else time.time_ns() - seconds(since) * 1_000_000_000
    with stdio.watched() if follow else nullcontext(), wiring.open_store() as store:
        found = Jobs(store).logs(name, job=ref, datum=datum, inputs=paths, follow=follow, tail=tail, since_ns=since_ns)
        for line in found:
            click.echo(json.dumps(log_record(line), ensure_ascii=False) if as_json else line.message)


def _which(pipeline: str | None, job: str | None) -> tuple[str, str | None]:
    """Return pipeline and job; the pipeline may stand before the job's ``@``."""
    before, at, ref = (job or "").rpartition("@")
    if at and pipeline is not None:
        raise usage_error("the pipeline is given twice: by -p and by -j")
    name = (pipeline or before).removeprefix("default/")
    if not name:
        raise usage_error("which pipeline? give -p PIPELINE, or -j PIPELINE@JOB")
    return name, ref or None
