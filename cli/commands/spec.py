"""Commands on spec files alone."""

from __future__ import annotations

import click

from cli.exits import USAGE, ExitCode
from cli.output import note, print_json, printable
from cli.spec_files import Given, spec_options


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of spec files, for editors that check and complete as one types."""
    from pps.spec.schema import spec_schema

    print_json(spec_schema())


@click.command("validate")
@spec_options
def validate(given: Given) -> None:
    """Check a spec file without a store, and print all that is wrong with it; exit 2 if something is."""
    from pps.spec.parse import check_specs

    found = given.read()
    specs, errors = check_specs(found.text, name=found.name)
    for error in errors:
        click.echo(printable(str(error)))
    for spec in specs:
        for text in spec.notes:
            note(text)
        click.echo(f"{spec.name}: valid")
    if errors:
        raise ExitCode(USAGE)
