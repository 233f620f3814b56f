"""Commands on job sets: the jobs of all pipelines with one id."""

from __future__ import annotations

from itertools import islice

import click

from cli import options, wiring
from cli.commands.job import JOB_COLUMNS, progress
from cli.durations import seconds
from cli.exits import FAILED, ExitCode
from cli.output import Record, emit, emit_with_table, field, time_of
from cli.pipeline_records import job_set_record

_set = click.argument("job_set", metavar="ID")


@click.command("list-job-set")
@click.option("-n", "--number", type=click.IntRange(min=0), default=0, help="At most so many; 0 is all.")
@options.json_option
def list_job_set(number: int, as_json: bool) -> None:
    """List the jobs of all pipelines by id, newest first: what one commit set off."""
    from pps.jobs.jobs import Jobs

    columns = [
        ("ID", field("id")),
        ("JOBS", _states),
        ("STATE", field("state")),
        ("PROGRESS", progress),
        ("STARTED", time_of("started")),
        ("FINISHED", time_of("finished")),
    ]
    with wiring.open_store() as store:
        records = (job_set_record(one, with_jobs=False) for one in Jobs(store).job_sets())
        emit(islice(records, number or None), columns, as_json=as_json)


@click.command("inspect-job-set")
@_set
@options.json_option
def inspect_job_set(job_set: str, as_json: bool) -> None:
    """Show the jobs of all pipelines with one id, in the order in which they began."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        record = job_set_record(Jobs(store).job_set(job_set), with_jobs=True)
    emit_with_table(record, "jobs", JOB_COLUMNS, as_json=as_json)


@click.command("wait-job-set")
@_set
@click.option("--timeout", metavar="DURATION", help="Exit 4 when not all have ended by then.")
@options.json_option
def wait_job_set(job_set: str, timeout: str | None, as_json: bool) -> None:
    """Wait until all jobs of an id have ended, and show them; exit 1 if one did not succeed. It does not run them."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        info = Jobs(store).wait_set(job_set, timeout_s=None if timeout is None else seconds(timeout))
    emit_with_table(job_set_record(info, with_jobs=True), "jobs", JOB_COLUMNS, as_json=as_json)
    if info.state != "success":
        raise ExitCode(FAILED)


def _states(record: Record) -> str:
    states = record["states"]
    assert isinstance(states, dict)
    return ", ".join(f"{number} {state}" for state, number in states.items())
