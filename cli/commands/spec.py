"""Commands on spec files alone."""

from __future__ import annotations

import click

from cli.output import note, print_json
from cli.spec_files import Given, spec_options


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of spec files, for editors that check and complete as one types."""
    from pps.spec_schema import spec_schema

    print_json(spec_schema())


@click.command("validate")
@spec_options
def validate(given: Given) -> None:
    """Check a spec file without a store."""
    specs, _ = given.specs()
    for spec in specs:
        for text in spec.notes:
            note(text)
        click.echo(f"{spec.name}: valid")
