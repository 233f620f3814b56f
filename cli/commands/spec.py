"""Commands on spec files alone."""

from __future__ import annotations

import click

from cli.output import print_json


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of spec files, for editors that check and complete as one types."""
    from pps.spec_schema import spec_schema

    print_json(spec_schema())
