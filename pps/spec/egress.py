"""The field ``egress``: where the output of a job is sent to as well."""

from __future__ import annotations

from urllib.parse import urlsplit

from pfs.errors import InvalidInputError
from pfs.paths import check_name, clean_path
from pps.spec.fields import Fields
from pps.spec.known import LEVERS
from pps.spec.levers import check_template, read_levers
from pps.spec.template import says_of_files
from pps.spec.types import Egress, SqlEgress

_FORMATS = ("csv", "json", "parquet")


def read_egresses(pipeline: Fields) -> tuple[Egress | SqlEgress, ...]:
    """Return where the output goes, in the order given; what is wrong goes to the findings."""
    found: dict[tuple[str, ...], Egress | SqlEgress] = {}
    every: list[Egress | SqlEgress] = []
    for fields in pipeline.one_or_more("egress"):
        egress = _read(fields)
        if isinstance(egress, Egress) and egress.url and place_of(egress) in found:
            objects = fields.child("object_storage")
            where = fields if objects is None else objects
            where.refused(
                "url", "another egress sends to the same names there, each over what the other sent: give 'key'"
            )
        every.append(egress)
        if isinstance(egress, Egress):
            found.setdefault(place_of(egress), egress)
    return tuple(every)


def _read(fields: Fields) -> Egress | SqlEgress:
    given = [name for name in ("url", "object_storage", "sql_database") if fields.has(name)]
    if len(given) > 1:
        fields.bad(
            given[1], "egress goes to one place: give 'URL', 'object_storage' or 'sql_database', or a list of places"
        )
    database = fields.child("sql_database")
    if database is not None:
        _refuse_levers(fields)
        return _database(database)
    objects = fields.child("object_storage")
    where = fields if objects is None else objects
    url = where.text("url")
    if not url:
        where.bad("url", "egress needs a URL: s3://bucket/path or file:///path")
    else:
        check_template(where, "url", url, of_file=False)
        _check_place(where, url)
    return Egress(url, _secret(fields, objects), _part(fields), read_levers(fields))


def place_of(egress: Egress) -> tuple[str, ...]:
    """Return what two deliveries have in common only if the one writes over what the other wrote.

    A key that says nothing of each file is one name; else the same templates make the same names of the same files.
    """
    levers = egress.levers
    by_file = not levers.key or says_of_files(levers.key)
    of = (egress.path.strip("/"), levers.archive) if by_file else ()
    where = f"{egress.url.rstrip('/')}/{levers.key.lstrip('/')}"
    return (where, egress.secret, levers.endpoint, levers.profile, *of)


def _refuse_levers(fields: Fields) -> None:
    for name in ("path", "secret", *LEVERS):
        if fields.has(name):
            fields.bad(name, f"the field {name!r} is for files: it means nothing beside 'sql_database'")


def _part(fields: Fields) -> str:
    path = fields.text("path")
    try:
        return path and clean_path(path).rstrip("/")
    except InvalidInputError as error:
        fields.bad("path", str(error))
        return ""


def _check_place(where: Fields, url: str) -> None:
    from pps.spec.places import split

    try:
        split(url)
    except InvalidInputError as error:
        where.bad("url", str(error))


def _database(fields: Fields) -> SqlEgress:
    url, files, secret = fields.text("url"), fields.child("file_format"), fields.child("secret")
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
    except ValueError:
        parts, has_password = urlsplit(""), False
    if not parts.scheme:
        fields.bad("url", "sql_database needs a url: postgresql://user@host:port/database and the like")
    elif has_password:
        fields.bad("url", "the url of sql_database has a password, which everybody could read: give it by 'secret'")
    elif secret is None and not url.startswith("sqlite"):
        fields.bad("secret", "sql_database needs a secret: the name and key of the password")
    kind = (files.text("type") if files else "") or "CSV"
    if kind.lower() not in _FORMATS and files is not None:
        files.bad("type", f"the type of file_format must be CSV, JSON or PARQUET, not {kind!r}")
    columns = _columns(fields, files)
    name, key = ("", "") if secret is None else (_name(secret), secret.text("key"))
    if secret is not None and not key:
        secret.bad("key", "the field 'key' of sql secret is missing: which of its values is the password")
    return SqlEgress(url, kind.lower(), columns, name, key)


def _columns(database: Fields, files: Fields | None) -> tuple[str, ...]:
    """Return the columns of the files; beside ``file_format`` they are taken too, which is where people put them."""
    inside, beside = files.texts("columns") if files else (), database.texts("columns")
    if inside and beside:
        database.bad("columns", "sql_database has columns twice: those of file_format count, take the others away")
    elif beside:
        database.findings.notes.append("sql_database.columns: taken as those of file_format, where they belong")
    return inside or beside


def _secret(fields: Fields, objects: Fields | None) -> str:
    inside = None if objects is None else objects.child("secret")
    name = fields.text("secret")
    if inside is not None and name:
        fields.bad("secret", "the secret of egress is given twice: that of object_storage is enough")
    if inside is not None:
        return _name(inside)
    if name:
        try:
            return check_name("secret", name)
        except InvalidInputError as error:
            fields.bad("secret", str(error))
    return ""


def _name(fields: Fields) -> str:
    name = fields.text("name")
    try:
        return check_name("secret", name)
    except InvalidInputError as error:
        fields.bad("name", str(error))
        return ""
