"""The outputs of a task: what is taken when its command has ended, how long it stays, and where it is delivered."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from pfs.errors import InvalidInputError
from pfs.files.described import described, is_media_type
from pps.spec.artifact_path import check_artifact_path, check_name_below
from pps.spec.delivery import Levers
from pps.spec.fields import Fields
from pps.spec.levers import check_template, read_levers
from pps.spec.node import Node
from pps.spec.places import split
from pps.spec.task import ArtifactType, Missing
from pps.spec.template import parse_template, says_of_files
from pps.spec.types import Egress
from pps.workflows.fill import fill, fill_text
from pps.workflows.keep import read_keep
from pps.workflows.known import DELIVERY, LEVER, OUTPUT
from pps.workflows.names import check_identifier
from pps.workflows.reading import Reading, is_template
from pps.workflows.types import Keep, OutputArtifact


@dataclass(frozen=True, slots=True)
class _Output:
    """One output while it is read. ``defaults``: what the file says of all outputs."""

    fields: Fields
    defaults: Fields | None
    reading: Reading
    task: str

    def owner(self, name: str) -> Fields:
        """Return who says what a field is: the output, or the defaults."""
        own = self.defaults is None or self.fields.get(name) is not None or self.defaults.get(name) is None
        return self.fields if own or self.defaults is None else self.defaults

    def text(self, name: str) -> str:
        return self.owner(name).text(name)

    def template(self, name: str, node: Node | None = None) -> bool:
        """Take a text as a template; say whether it has references."""
        node = self.owner(name).get(name) if node is None else node
        if node is None:
            return False
        made = self.reading.template(node, task=self.task, field=f"outputs.{name}", settled=False)
        return bool(made.references) or not made.parts


def read_outputs(parent: Fields, reading: Reading, *, task: str, defaults: Fields | None) -> tuple[OutputArtifact, ...]:
    """Return the outputs of a task; what is wrong with them goes to the findings."""
    found: dict[str, OutputArtifact] = {}
    for fields in reading.each(parent.children("outputs"), OUTPUT):
        made = _output(_Output(fields, defaults, reading, task))
        if made.name in found:
            fields.bad("name", f"two outputs of task {task!r} are called {made.name!r}: give each a name of its own")
        _refuse_same_path(fields, made, found.values())
        _refuse_same_place(fields, made, found.values())
        found.setdefault(made.name, made)
    return tuple(found.values())


def _refuse_same_path(fields: Fields, made: OutputArtifact, others: Iterable[OutputArtifact]) -> None:
    for other in others:
        if made.path and posixpath.normpath(made.path) == posixpath.normpath(other.path):
            fields.bad("path", f"the outputs {other.name!r} and {made.name!r} have the same path {made.path!r}")


def _refuse_same_place(fields: Fields, made: OutputArtifact, others: Iterable[OutputArtifact]) -> None:
    place = _fixed_place(made)
    for other in others:
        if place is not None and place == _fixed_place(other):
            why = f"the outputs {other.name!r} and {made.name!r} are delivered to the same address, one over the other"
            fields.refused("s3", why)


def _fixed_place(made: OutputArtifact) -> tuple[str, ...] | None:
    """Return the one address that all of an output goes to; None where it depends on its files."""
    egress = made.s3
    if egress is None or not egress.url:
        return None
    is_one = egress.levers.archive != "none" or made.type == "file"
    if says_of_files(egress.levers.key) or (not egress.levers.key and (not is_one or egress.url.endswith("/"))):
        return None
    where = f"{egress.url.rstrip('/')}/{egress.levers.key.lstrip('/')}".rstrip("/")
    return (where, egress.secret, egress.levers.endpoint, egress.levers.profile)


def _output(one: _Output) -> OutputArtifact:
    fields = one.fields
    kind, name = _type(fields), _name(fields)
    return OutputArtifact(
        name=name,
        path=_path(one, kind),
        type=kind,
        as_=_as(one),
        missing=_missing(one),
        content_type=_content_type(one),
        metadata=_metadata(one),
        s3=_delivery(one, name),
        keep=_keep(one),
        place=fields.place("name"),
    )


def _name(fields: Fields) -> str:
    name = fields.text("name")
    try:
        return check_identifier("an output", name)
    except InvalidInputError as error:
        fields.bad("name", str(error) if name else "the field 'name' of output is missing")
        return name


def _type(fields: Fields) -> ArtifactType:
    match fields.text("type"):
        case "file" | "directory" | "glob" as kind:
            return kind
        case "":
            return "file"
        case other:
            fields.bad("type", f"the type of an output is file, directory or glob, not {other!r}")
            return "file"


def _path(one: _Output, kind: ArtifactType) -> str:
    path = one.fields.text("path")
    if not path:
        one.fields.bad("path", "the field 'path' of output is missing: it says where the command leaves it")
        return ""
    if kind == "file" and path.endswith("/"):
        one.fields.bad("path", f"the path {path!r} of a file ends in '/': write 'type: directory'")
    elif not one.template("path") or (kind == "glob" and is_template(path)):
        try:
            check_artifact_path(parse_template(path).render(lambda _: "x"), kind)
        except InvalidInputError as error:
            one.fields.bad("path", str(error))
            return ""
    return path if is_template(path) else ""


def _as(one: _Output) -> str:
    text = one.fields.text("as")
    one.template("as")
    if not is_template(text):
        return ""
    try:
        check_name_below(text)
    except InvalidInputError as error:
        one.fields.bad("as", str(error))
    return text


def _missing(one: _Output) -> Missing:
    if one.owner("optional").flag("optional"):
        if one.fields.has("if_missing"):
            one.fields.bad("if_missing", "an optional output may be missing: 'if_missing' has nothing to say of it")
        return "ignore"
    match one.text("if_missing"):
        case "" | "fail":
            return "fail"
        case "warn":
            return "warn"
        case other:
            one.owner("if_missing").bad("if_missing", f"the field 'if_missing' is fail or warn, not {other!r}")
            return "fail"


def _content_type(one: _Output) -> str:
    text = one.text("content_type")
    if text and not one.template("content_type") and not is_media_type(text):
        one.owner("content_type").bad("content_type", f"{text!r} is no media type: write it as in text/csv")
    return text


def _metadata(one: _Output) -> dict[str, str]:
    owner = one.owner("metadata")
    found, node = owner.variables("metadata"), owner.get("metadata")
    for value in node.value.values() if node is not None and isinstance(node.value, dict) else ():
        one.template("metadata", value)
    try:
        described(None, found)
    except InvalidInputError as error:
        owner.bad("metadata", str(error))
    return found


def _keep(one: _Output) -> Keep:
    return read_keep(one.owner("keep"))


def _delivery(one: _Output, name: str) -> Egress | None:
    owner = one.owner("s3")
    # A delivery says nothing of items, and so its task is known when the file is read.
    url = fill_text(owner.text("s3"), {"task.name": one.task})
    if not url:
        for lever in DELIVERY:
            if one.fields.has(lever):
                one.fields.bad(lever, f"the field {lever!r} of output goes with 's3', which says where it is delivered")
        return None
    check_template(owner, "s3", url, of_file=False)
    try:
        split(url)
    except InvalidInputError as error:
        owner.bad("s3", str(error))
    return Egress(url, one.text("secret"), f"/{name}", _levers(one))


def _levers(one: _Output) -> Levers:
    """Return the levers of a delivery; the type and the metadata of files are kept with the files."""
    given = {name: (owner, node) for name in DELIVERY if (node := (owner := one.owner(name)).get(name)) is not None}
    given.pop("secret", None)
    node = Node(
        one.fields.node.place,
        {name: fill(node, {"task.name": one.task}) for name, (_, node) in given.items()},
        {name: owner.place(name) for name, (owner, _) in given.items()},
    )
    fields = one.reading.fields(node, LEVER)
    return Levers() if fields is None else read_levers(fields)
