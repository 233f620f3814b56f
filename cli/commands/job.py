"""Commands on jobs and datums."""

from __future__ import annotations

from datetime import datetime

import click

from cli import options, wiring
from cli.durations import human_duration, seconds
from cli.exits import FAILED, ExitCode, usage_error
from cli.histories import parse_history
from cli.output import Record, emit, emit_one, field, note, size_of, time_of
from cli.pipeline_records import datum_record, explanation_record, job_record, preview_record
from cli.spec_files import Given, spec_options
from pfs.shorten import quoted

JOB_STATES = ["created", "starting", "running", "egressing", "finishing", "success", "failure", "killed", "unrunnable"]
DATUM_STATES = ["starting", "success", "failed", "skipped", "recovered"]


def job_address(text: str) -> tuple[str, str]:
    """Parse ``PIPELINE@JOB``.

    Raises:
        InvalidInputError: one of them is missing.
    """
    pipeline, _, job = text.partition("@")
    if not pipeline or not job:
        raise usage_error(f"{quoted(text)} should be PIPELINE@JOB, as `pps list-job` shows them")
    return pipeline.removeprefix("default/"), job


def progress(record: Record) -> str:
    """Return processed + skipped (+ recovered) / total, as Pachyderm's users know it."""
    recovered = f" + {record['data_recovered']}" if record["data_recovered"] else ""
    return f"{record['data_processed']} + {record['data_skipped']}{recovered} / {record['data_total']}"


def duration(record: Record) -> str:
    """Return how long a job took; of one that runs, ``-``."""
    if record["finished"] is None:
        return "-"
    began, ended = (datetime.fromisoformat(str(record[name])) for name in ("started", "finished"))
    return human_duration((ended - began).total_seconds())


JOB_COLUMNS = [
    ("PIPELINE", field("pipeline")),
    ("ID", field("id")),
    ("STARTED", time_of("started")),
    ("DURATION", duration),
    ("RESTART", field("restart")),
    ("PROGRESS", progress),
    ("DL", size_of("input_bytes")),
    ("UL", size_of("output_bytes")),
    ("STATE", field("state")),
    ("REASON", field("reason", default="")),
]


@click.command("list-job")
@click.argument("job_set", metavar="[ID]", required=False)
@click.option("-p", "--pipeline", help="Only jobs of this pipeline.")
@click.option("-n", "--number", type=click.IntRange(min=0), default=0, help="At most so many; 0 is all.")
@click.option("--state", "states", multiple=True, type=click.Choice(JOB_STATES), help="Only in this state; repeatable.")
@click.option("-i", "--input", "inputs", multiple=True, metavar="REPO@COMMIT", help="Only what reads it; repeatable.")
@click.option(
    "--history",
    default="all",
    callback=parse_history,
    metavar="N|all|none",
    help="Only of the pipeline's present version (none) and N before it.",
)
@options.json_option
def list_job(
    job_set: str | None,
    pipeline: str | None,
    number: int,
    states: tuple[str, ...],
    inputs: tuple[str, ...],
    history: int | None,
    as_json: bool,
) -> None:
    """List jobs, newest first, with an ID only those that have it; a job has the id of its commit."""
    from itertools import islice

    from pps.jobs.jobs import Jobs
    from pps.model.state import JobState

    with wiring.open_store() as store:
        read = [(repo, store.repo(repo).inspect(ref).id) for repo, ref in map(wiring.branch_address, inputs)]
        wanted = None if job_set is None else Jobs(store).job_set(job_set).id
        found = Jobs(store).jobs(pipeline, states=[JobState(state) for state in states], inputs=read, history=history)
        jobs = (job for job in found if wanted in {None, job.id})
        emit(islice(map(job_record, jobs), number or None), JOB_COLUMNS, as_json=as_json)


_job_or_set = click.argument("job", metavar="[PIPELINE@]JOB")


@click.command("inspect-job")
@_job_or_set
@options.json_option
@click.pass_context
def inspect_job(context: click.Context, job: str, as_json: bool) -> None:
    """Show one job: state, counters, reason, inputs, what its datums took; by an id alone all jobs that have it."""
    from cli.commands.job_set import inspect_job_set
    from pps.jobs.jobs import Jobs

    if "@" not in job:
        context.invoke(inspect_job_set, job_set=job, as_json=as_json)
        return
    with wiring.open_store() as store:
        emit_one(job_record(Jobs(store).job(*job_address(job))), as_json=as_json)


@click.command("list-datum")
@click.argument("job", metavar="[PIPELINE@JOB]", required=False)
@click.option("--state", "states", multiple=True, type=click.Choice(DATUM_STATES), help="Only these; repeatable.")
@options.json_option
@options.raw_option
@spec_options
def list_datum(given: Given, job: str | None, states: tuple[str, ...], as_json: bool, raw: bool) -> None:
    """List the datums of a job with their states, or with -f those that a spec would have now."""
    from pps.jobs.jobs import Jobs
    from pps.model.state import DatumState

    if (job is None) != given.is_there:
        raise usage_error("give a job as PIPELINE@JOB, or a spec with -f")
    if given.is_there and states:
        raise usage_error("--state is for the datums of a job: those of a spec have none yet")
    if given.is_there:
        _list_preview(given, as_json=as_json, raw=raw)
        return
    assert job is not None
    columns = [
        ("ID", field("id")),
        ("STATE", field("state")),
        ("TRIES", field("tries")),
        ("SECONDS", _seconds),
        ("IN", size_of("input_bytes", raw=raw)),
        ("OUT", size_of("output_bytes", raw=raw)),
        ("FILES", _paths),
    ]
    with wiring.open_store() as store:
        found = Jobs(store).datums(*job_address(job), states=[DatumState(state) for state in states])
        emit(map(datum_record, found), columns, as_json=as_json)


def _list_preview(given: Given, *, as_json: bool, raw: bool) -> None:
    from pps.jobs.preview import preview_datums
    from pps.pipelines.pipelines import Pipelines

    found = given.read()
    with wiring.open_store() as store:
        specs = Pipelines(store).read(found.text, name=found.name)
    if len(specs) != 1:
        raise usage_error(f"the spec has {len(specs)} pipelines: list the datums of one at a time")
    columns = [("ID", field("id")), ("IN", size_of("input_bytes", raw=raw)), ("FILES", _paths)]
    with wiring.open_store() as store:
        emit(map(preview_record, preview_datums(store, specs[0].input, tell=note)), columns, as_json=as_json)


def _seconds(record: Record) -> str:
    times = record["seconds"]
    assert isinstance(times, dict)
    return f"{times['process']:.2f}"


def _paths(record: Record) -> str:
    inputs = record["inputs"]
    assert isinstance(inputs, list)
    return ", ".join(f"{item['repo']}:{item['path']}" for item in inputs)


@click.command("inspect-datum")
@click.argument("job", metavar="PIPELINE@JOB")
@click.argument("datum", metavar="DATUM")
@options.json_option
def inspect_datum(job: str, datum: str, as_json: bool) -> None:
    """Show one datum: inputs, state, tries, times, exit code and the end of its log."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        emit_one(datum_record(Jobs(store).datum(*job_address(job), datum)), as_json=as_json)


_job = click.argument("job", metavar="PIPELINE@JOB")


@click.command("wait-job")
@_job_or_set
@click.option("--timeout", metavar="DURATION", help="Exit 4 when it has not ended by then.")
@options.json_option
@click.pass_context
def wait_job(context: click.Context, job: str, timeout: str | None, as_json: bool) -> None:
    """Wait until a job, or all of an id, have ended; exit 1 if one did not succeed. It does not run them."""
    from cli.commands.job_set import wait_job_set
    from pps.jobs.jobs import Jobs

    if "@" not in job:
        context.invoke(wait_job_set, job_set=job, timeout=timeout, as_json=as_json)
        return
    with wiring.open_store() as store:
        timeout_s = None if timeout is None else seconds(timeout)
        info = Jobs(store).wait(*job_address(job), timeout_s=timeout_s)
        emit_one(job_record(info), as_json=as_json)
    if info.state != "success":
        raise ExitCode(FAILED)


@click.command("stop-job")
@_job_or_set
def stop_job(job: str) -> None:
    """End a job that runs, or all of an id: killed, the output branch stays, what succeeded is not done again."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        jobs = Jobs(store)
        found = [job_address(job)] if "@" in job else jobs.running_of(job)
        for pipeline, ref in found:
            jobs.stop_job(pipeline, ref)


@click.command("delete-job")
@_job
@options.json_option
def delete_job(job: str, as_json: bool) -> None:
    """Delete a job that has ended: it is listed no more, its logs go. Its output commit stays, nothing runs again."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        info = Jobs(store).delete(*job_address(job))
    if as_json:
        emit_one(job_record(info), as_json=True)


@click.command("restart-datum")
@_job
@click.argument("datum", metavar="[DATUM]", required=False)
def restart_datum(job: str, datum: str | None) -> None:
    """Begin again with a datum that runs now, or with all that run. DATUM: its id, or paths of its inputs, /a,/b."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        Jobs(store).restart_datum(*job_address(job), datum)


@click.command("explain-datum")
@_job
@click.argument("datum", metavar="DATUM")
@options.json_option
def explain_datum(job: str, datum: str, as_json: bool) -> None:
    """Say in one sentence why a datum ran or was skipped, and against which job."""
    from pps.jobs.jobs import Jobs

    with wiring.open_store() as store:
        found = Jobs(store).explain(*job_address(job), datum)
    if as_json:
        emit_one(explanation_record(found), as_json=True)
    else:
        click.echo(f"datum {found.datum[:12]} of {found.pipeline}@{found.job}: {found.text}")
