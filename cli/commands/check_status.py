"""`pps check-status`: which pipelines somebody should look at."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.exits import FAILED, ExitCode
from cli.output import Record, emit, field
from cli.pipeline_records import pipeline_record


@click.command("check-status")
@options.json_option
def check_status(as_json: bool) -> None:
    """List pipelines that are damaged, fail or cannot send what they made; exit 1 if there is one."""
    from pps.pipelines.pipelines import Pipelines

    with wiring.open_store() as store:
        found = [pipeline_record(info) for info in Pipelines(store).list() if info.alerts]
    if found or as_json:
        emit(found, [("NAME", field("name")), ("STATE", field("state")), ("ALERTS", _alerts)], as_json=as_json)
    else:
        click.echo("all pipelines are well")
    if found:
        raise ExitCode(FAILED)


def _alerts(record: Record) -> str:
    alerts = record["alerts"]
    assert isinstance(alerts, list)
    return "; ".join(alerts)
