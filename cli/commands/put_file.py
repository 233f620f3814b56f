"""The command put-file, with all its options."""

from __future__ import annotations

import click

from cli import options, putting

put_file = options.command(
    "put-file",
    putting.put_file,
    options.address_argument(metavar="REPO@BRANCH[:/PATH]"),
    click.option("-f", "--file", "files", multiple=True, help="A file, a URL, a folder with -r, or - for stdin."),
    click.option(
        "-i", "--input-list", "lists", multiple=True, metavar="LIST", help="A file of names, one a line; - is stdin."
    ),
    click.option("--endpoint-url", metavar="URL", help="Where s3:// URLs are, if not at AWS."),
    click.option("-0", "--null", is_flag=True, help="The names in LIST end in NUL bytes instead of newlines."),
    click.option("-r", "--recursive", is_flag=True, help="Put the content of folders, with everything below."),
    click.option(
        "--untar", is_flag=True, help="Put what archives (tar, tar.gz, .bz2, .xz, .zst, zip) hold below PATH."
    ),
    click.option("-a", "--append", is_flag=True, help="Append to files that exist instead of replacing them."),
    click.option("--delete-extra", is_flag=True, help="Delete what is below PATH and was not put: a mirror."),
    click.option("--checksum", is_flag=True, help="Read all files, also those that show no change since the last put."),
    click.option(
        "--symlinks",
        type=click.Choice(["follow", "keep", "skip", "refuse"]),
        default="follow",
        help="Put what symbolic links lead to (default), or the links, or neither; or end with an error.",
    ),
    click.option(
        "--index", metavar="FILE", help="Put what an Arrow or Parquet FILE lists by path, size, id; - is stdin."
    ),
    click.option("--presorted", is_flag=True, help="The rows of --index - come in byte order of their paths."),
    click.option("--external", is_flag=True, help="List files of --index too whose content the store does not have."),
    click.option("--mime", metavar="TYPE", help="The media type of what is put, as in text/csv."),
    click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="User metadata of what is put; repeatable."),
    options.jobs_option,
    click.option("-m", "--message", default="", help="The message of the commit."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON: id, and what was put and deleted."),
)
