"""Commands on pipelines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.histories import parse_history
from cli.output import Record, emit, emit_one, field, print_json, print_json_array, time_of
from cli.pipeline_records import pipeline_record
from cli.spec_files import Given, spec_options
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pps.model.infos import PipelineInfo
    from pps.spec.types import Spec

PIPELINE_STATES = [
    *("idle", "pending", "running", "stopped", "replaced", "damaged"),
    *("starting", "restarting", "crashing", "failure"),
]
"""The last four are of services and spouts."""


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check all against the store, print the specs that would count, change nothing."
)


def _note(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)


@click.command("create-pipeline")
@dry_run_option
@options.json_option
@spec_options
def create_pipeline(given: Given, dry_run: bool, as_json: bool) -> None:
    """Make the pipelines of a spec file, all or none; `pps run` or `pfs serve` runs them."""
    from pps.pipelines.pipelines import Pipelines
    from pps.pipelines.several import create_all

    found = given.read()
    with wiring.open_store(alone=None if dry_run else "create-pipeline") as store:
        pipelines = Pipelines(store)
        specs = pipelines.read(found.text, name=found.name)
        infos = create_all(pipelines, specs, base_dir=found.base_dir, dry_run=dry_run)
    _report(specs, infos, dry_run=dry_run, as_json=as_json)


@click.command("update-pipeline")
@click.option(
    "--reprocess/--no-reprocess", default=None, help="Run all datums again, or none; default: if code changed."
)
@dry_run_option
@options.json_option
@spec_options
def update_pipeline(given: Given, reprocess: bool | None, dry_run: bool, as_json: bool) -> None:
    """Replace the specs of pipelines by those of a file; makes those that do not exist."""
    from pps.pipelines.pipelines import Pipelines
    from pps.pipelines.several import update_all

    found = given.read()
    with wiring.open_store(alone=None if dry_run else "update-pipeline") as store:
        pipelines = Pipelines(store)
        specs = pipelines.read(found.text, name=found.name)
        infos = update_all(pipelines, specs, base_dir=found.base_dir, reprocess=reprocess, dry_run=dry_run)
    _report(specs, infos, dry_run=dry_run, as_json=as_json)


def _report(specs: Sequence[Spec], infos: Sequence[PipelineInfo], *, dry_run: bool, as_json: bool) -> None:
    """Print what was made, or would be: records if asked, else of a dry run the specs that would count."""
    for info in infos:
        _note(info.notes)
    documents = [(json.loads(spec.source), json.loads(spec.effective)) for spec in specs]
    if as_json:
        both = zip(infos, documents, strict=True)
        print_json_array(
            {**pipeline_record(info), "user_spec": given, "effective_spec": full} for info, (given, full) in both
        )
    elif dry_run:
        for _, full in documents:
            print_json(full)


@click.command("list-pipeline")
@click.option(
    "--history",
    default="none",
    callback=parse_history,
    metavar="N|all|none",
    help="Versions too: the present one and N before it, or all.",
)
@click.option("--state", "states", multiple=True, type=click.Choice(PIPELINE_STATES), help="Only these; repeatable.")
@click.option(
    "-s", "--spec", "only_specs", is_flag=True, help="Print the specs that count, as create-pipeline takes them."
)
@options.json_option
def list_pipeline(history: int | None, states: tuple[str, ...], only_specs: bool, as_json: bool) -> None:
    """List pipelines with the state of their last job."""
    from itertools import chain, islice

    from pps.pipelines.pipelines import Pipelines

    columns = [
        ("NAME", field("name")),
        ("VERSION", field("version")),
        ("INPUT", field("input_text")),
        ("CREATED", time_of("created")),
        ("STATE / LAST JOB", lambda record: f"{_state(record)} / {record['last_job_state'] or '-'}"),
        ("ALERTS", lambda record: "!" if record["alerts"] else "-"),
        ("DESCRIPTION", field("description", default="")),
    ]
    with wiring.open_store() as store:
        pipelines = Pipelines(store)
        infos = (
            one
            for info in pipelines.list()
            for one in chain([info], islice(pipelines.past_versions(info.name) if info.version else (), history))
            if not states or one.state in states
        )
        if only_specs:
            print_json_array(info.spec for info in infos if info.version)
            return
        emit(map(pipeline_record, infos), columns, as_json=as_json)


def _state(record: Record) -> str:
    """Return the state, of a service or spout with where it is reached, or why it does not run."""
    process = record.get("process")
    if not isinstance(process, dict):
        return str(record["state"])
    about = process["reason"] or process["address"]
    return f"{record['state']} ({about})" if about else str(record["state"])


@click.command("inspect-pipeline")
@click.argument("pipeline", metavar="PIPELINE[@VERSION]")
@click.option("--spec", "only_spec", is_flag=True, help="Print the spec that counts, as create-pipeline takes it.")
@click.option("--given", "only_given", is_flag=True, help="Print the spec as it was given, without defaults.")
@options.json_option
def inspect_pipeline(pipeline: str, only_spec: bool, only_given: bool, as_json: bool) -> None:
    """Show one pipeline and its spec, or one version of it."""
    from pps.pipelines.pipelines import Pipelines

    name, version = _version(pipeline)
    with wiring.open_store() as store:
        pipelines = Pipelines(store)
        given, full = pipelines.documents(name, version=version)
        if only_spec or only_given:
            print_json(given if only_given else full)
            return
        info = pipelines.inspect(name) if version is None else pipelines.version(name, version)
        emit_one({**pipeline_record(info), "user_spec": given, "effective_spec": full}, as_json=as_json)


def _version(text: str) -> tuple[str, int | None]:
    name, at, version = text.partition("@")
    if at and not version.isdecimal():
        raise usage_error(f"{quoted(text)} should be PIPELINE@VERSION, and a version is a number")
    return name.removeprefix("default/"), int(version) if at else None


@click.command("delete-pipeline")
@click.argument("pipeline", metavar="PIPELINE", required=False)
@click.option("--all", "every", is_flag=True, help="All pipelines, those that read others' output first.")
@click.option("--keep-repo", is_flag=True, help="Keep the output repo as a plain repo.")
@click.option("-f", "--force", is_flag=True, help="Even when other pipelines read its output.")
def delete_pipeline(pipeline: str | None, every: bool, keep_repo: bool, force: bool) -> None:
    """Take a pipeline away, with its output repo unless --keep-repo; data stays in trash for 30 days."""
    from pps.pipelines.pipelines import Pipelines

    if (pipeline is None) != every:
        raise usage_error("give the name of a pipeline, or --all")
    with wiring.open_store(alone="delete-pipeline") as store:
        pipelines = Pipelines(store)
        # Upstream ones come first in a listing, so they go last.
        names = [info.name for info in reversed(pipelines.list())] if pipeline is None else [pipeline]
        for name in names:
            pipelines.delete(name.removeprefix("default/"), keep_repo=keep_repo, force=force)


@click.command("run-cron")
@click.argument("pipeline", metavar="PIPELINE")
def run_cron(pipeline: str) -> None:
    """Tick the cron inputs of a pipeline now; prints the commit of each."""
    from pps.pipelines.pipelines import Pipelines

    with wiring.open_store(alone="run-cron") as store:
        for info in Pipelines(store).run_cron(pipeline).values():
            click.echo(info.id)


@click.command("stop-pipeline")
@click.argument("pipeline", metavar="PIPELINE")
def stop_pipeline(pipeline: str) -> None:
    """Give a pipeline no jobs until it is started; one that runs is killed."""
    from pps.pipelines.pipelines import Pipelines

    with wiring.open_store(alone="stop-pipeline") as store:
        Pipelines(store).stop(pipeline)


@click.command("start-pipeline")
@click.argument("pipeline", metavar="PIPELINE")
def start_pipeline(pipeline: str) -> None:
    """Let a stopped pipeline have jobs again: one for what its inputs are now, then one a commit."""
    from pps.pipelines.pipelines import Pipelines

    with wiring.open_store(alone="start-pipeline") as store:
        Pipelines(store).start(pipeline)


@click.command("rerun-pipeline")
@click.argument("pipeline", metavar="PIPELINE")
@click.option("--reprocess", is_flag=True, help="Run all datums again, not only those that did not succeed.")
def rerun_pipeline(pipeline: str, reprocess: bool) -> None:
    """Make a job for what a pipeline's inputs are now; datums that did not succeed run again."""
    from pps.pipelines.pipelines import Pipelines

    with wiring.open_store(alone="rerun-pipeline") as store:
        Pipelines(store).rerun(pipeline, reprocess=reprocess)
