"""Commands on spec files alone."""

from __future__ import annotations

import click

from cli.exits import USAGE, ExitCode
from cli.output import counted, note, print_json, printable
from cli.spec_files import Given, SpecText, spec_options


@click.command("schema")
@click.option("--workflow", is_flag=True, help="Of workflow files.")
def schema(workflow: bool) -> None:
    """Print the JSON Schema of spec files, for editors that check and complete as one types."""
    if workflow:
        from pps.workflows.schema import workflow_schema

        print_json(workflow_schema())
        return
    from pps.spec.schema import spec_schema

    print_json(spec_schema())


@click.command("validate")
@click.option("--workflow", is_flag=True, help="It is a workflow file.")
@spec_options
def validate(given: Given, workflow: bool) -> None:
    """Check a spec file without a store, and print all that is wrong with it; exit 2 if something is."""
    found = given.read()
    if workflow:
        _validate_workflow(found)
        return
    from pps.spec.parse import check_specs

    specs, errors = check_specs(found.text, name=found.name)
    for error in errors:
        click.echo(printable(str(error)))
    for spec in specs:
        for text in spec.notes:
            note(text)
        click.echo(f"{spec.name}: valid")
    if errors:
        raise ExitCode(USAGE)


def _validate_workflow(found: SpecText) -> None:
    from pps.workflows.folder import missing_code
    from pps.workflows.parse import check_workflow

    workflow, errors = check_workflow(found.text, name=found.name)
    if workflow is not None:
        errors = missing_code(workflow, found.base_dir)
    for error in errors:
        click.echo(printable(str(error)))
    if workflow is None or errors:
        raise ExitCode(USAGE)
    click.echo(f"{workflow.name}: valid, {counted(len(workflow.tasks), 'task')}")
