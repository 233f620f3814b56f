"""`pps run`: everything that is pending, with a live view."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.exits import FAILED, ExitCode
from cli.live import LiveView
from cli.output import emit
from cli.pipeline_records import job_record


@click.command("run")
@click.argument("pipelines", metavar="[PIPELINE]...", nargs=-1)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "namespace", "container", "none"]),
    default="auto",
    show_default=True,
    help="How commands come to see /pfs; `pfs doctor` says what this machine offers.",
)
@options.jobs_option
@options.gpus_option
@click.option("--frozen", is_flag=True, help="Refuse to run when a code file was changed, instead of taking it over.")
@options.json_option
def run_pending(
    pipelines: tuple[str, ...], isolation: str, jobs: int | None, gpus: str, frozen: bool, as_json: bool
) -> None:
    """Do everything that is pending, with a live view, then end; exit 1 if a job failed.

    Beside a running `pfs serve` it shows that one's progress. With names, only those pipelines and what they read.
    """
    from cli.job_gateways import job_gateways
    from pps.controller import Controller, local_executors

    with wiring.open_store() as store, LiveView() as view:
        executors = local_executors(store, slots=jobs, gateways=job_gateways(store), gpus=wiring.ids(gpus))
        controller = Controller(store, executors, isolation=isolation)
        report = controller.run_pending(pipelines, frozen=frozen, on_event=view)
    if as_json:
        emit(map(job_record, report.jobs), [], as_json=True)
    elif not report.jobs:
        click.echo("nothing is pending")
    if report.failed or report.damaged:
        raise ExitCode(FAILED)
