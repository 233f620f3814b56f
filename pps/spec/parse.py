"""From the text of a spec file to `Spec` values: one or more documents, each a mapping or a list of mappings.

Pachyderm's specs are taken as they are. What has no effect here is noted, what is not built is refused by
name, and an unknown field is an error that names the nearest known one; every error says line and column.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace

from pfs.errors import InvalidInputError
from pfs.paths import check_name
from pps.spec.artifact import check_task, read_task
from pps.spec.egress import read_egresses
from pps.spec.fields import Fields
from pps.spec.findings import Findings, first_of
from pps.spec.given import given_text
from pps.spec.input import leaves, read_input
from pps.spec.json import parse_json
from pps.spec.known import PIPELINE
from pps.spec.merge import effective
from pps.spec.node import Node
from pps.spec.resources import read_resources
from pps.spec.s3 import read_s3_out
from pps.spec.secret import read_secrets
from pps.spec.service import read_service, reads_nothing, without_effect
from pps.spec.types import DEFAULT_BRANCH, DEFAULT_TRIES, DatumSet, Input, Reprocess, Spec, Transform, UnionInput
from pps.spec.yaml import parse_yaml

_LAST_EXIT_CODE = 255
_LOOKS_LIKE_JSON = re.compile(r'\s*(?:\{\s*(?:"|\}|$)|\[\s*(?:\{|\]|$))')


def parse_specs(text: str, *, name: str = "-", base: Node | None = None, stored: bool = False) -> list[Spec]:
    """Return the pipelines of a spec file in order; ``name`` is what messages call it.

    ``base``: the defaults that each of them is laid over (`pps.pipelines.defaults.Defaults.base`). ``stored``: they
    were taken once; what is refused only since is let pass.

    Raises:
        InvalidInputError: not JSON or YAML, an unknown or unsupported field, a value of the wrong kind, two
            pipelines of one name, or no pipeline at all. The first error in the text, and how many more there are.
    """
    specs, errors = check_specs(text, name=name, base=base, stored=stored)
    if errors:
        raise first_of(errors)
    return specs


def check_documents(nodes: Sequence[Node]) -> None:
    """Raise what is wrong with pipelines that are parsed already, as `parse_specs` does."""
    errors = [error for node in nodes for error in _read_pipeline(node, None)[1]]
    if errors:
        raise first_of(errors)


def check_specs(
    text: str, *, name: str = "-", base: Node | None = None, stored: bool = False
) -> tuple[list[Spec], list[InvalidInputError]]:
    """Return the pipelines of a spec file that are sound, and all that is wrong with the file, both in its order.

    Raises:
        InvalidInputError: not JSON or YAML, or there is no pipeline in it.
    """
    specs: dict[str, Spec] = {}
    errors: list[InvalidInputError] = []
    for node in _pipelines(parse_nodes(text, name), name):
        spec, wrong = _read_pipeline(node, base, stored=stored)
        errors += wrong
        if spec is not None and spec.name in specs:
            errors.append(node.place.error(f"the pipeline {spec.name!r} is given twice"))
        elif spec is not None:
            specs[spec.name] = spec
    return list(specs.values()), errors


def parse_nodes(text: str, source: str) -> list[Node]:
    """Return the documents of ``text``: JSON if it begins like JSON or the file is called so, else YAML.

    Raises:
        InvalidInputError: it is neither; says line and column.
    """
    text = text.removeprefix("\ufeff")
    if source.endswith(".json") or _LOOKS_LIKE_JSON.match(text):
        return parse_json(text, source)
    return parse_yaml(text, source)


def _pipelines(documents: Sequence[Node], source: str) -> list[Node]:
    found: list[Node] = []
    for document in documents:
        found += document.value if isinstance(document.value, list) else [document]
    if not found:
        raise InvalidInputError(f"{source}: there is no pipeline in it")
    return found


def _read_pipeline(
    node: Node, base: Node | None, *, stored: bool = False
) -> tuple[Spec | None, list[InvalidInputError]]:
    """Return the pipeline of a mapping laid over ``base``, None if something is wrong with it; and what."""
    findings = Findings(is_stored=stored)
    full = effective([node] if base is None else [base, node], keep_nulls=True)
    try:
        spec = _pipeline(Fields(full, PIPELINE, findings), findings)
    except InvalidInputError as error:
        findings.add(node.place, error)
    if findings.errors:
        return None, findings.errors
    return replace(spec, source=given_text(node), effective=given_text(full, nulls=False)), []


def _pipeline(fields: Fields, findings: Findings) -> Spec:
    name, parallelism = _pipeline_name(fields), _parallelism(fields)
    spec = Spec(
        name=name,
        transform=_transform(fields),
        input=_input(fields, findings, pipeline=name),
        description=fields.text("description"),
        output_branch=_output_branch(fields),
        datum_tries=fields.count("datum_tries") or DEFAULT_TRIES,
        datum_timeout_s=fields.seconds("datum_timeout"),
        job_timeout_s=fields.seconds("job_timeout"),
        parallelism=parallelism,
        datum_set=_datum_set(fields),
        reprocess=_reprocess(fields),
        salt=fields.text("salt"),
        s3_out=read_s3_out(fields),
        egresses=read_egresses(fields),
        requests=read_resources(fields, "resource_requests"),
        limits=read_resources(fields, "resource_limits"),
        service=read_service(fields, parallelism=parallelism),
        spout=fields.has("spout"),
    )
    _check_batching(fields, spec)
    check_task(fields, spec)
    return replace(spec, notes=(*findings.notes, *without_effect(spec)))


def _check_batching(fields: Fields, spec: Spec) -> None:
    if spec.transform.datum_batching and (spec.s3_out or any(leaf.s3 for leaf in leaves(spec.input))):
        which = "s3_out" if spec.s3_out else "inputs that are read over S3"
        rule = "the keys of the gateway belong to one datum, and a process that runs cannot be given others"
        fields.bad("transform", f"datum_batching cannot be used with {which}: {rule}")


def _pipeline_name(fields: Fields) -> str:
    named = fields.child("pipeline")
    if named is None:
        fields.bad("pipeline", "the field 'pipeline' is missing: give the pipeline a name")
        return ""
    name = named.text("name")
    if name.startswith(("-", "_")):
        named.bad("name", f"invalid pipeline name {name!r}: it must begin with a letter or a digit")
    return _name(named, "name", "pipeline", name)


def _name(fields: Fields, field: str, what: str, name: str) -> str:
    try:
        return check_name(what, name)
    except InvalidInputError as error:
        fields.bad(field, str(error))
        return name


def _transform(fields: Fields) -> Transform:
    transform = fields.child("transform")
    if transform is None:
        fields.bad("transform", "the field 'transform' is missing: it says which command to run")
        return Transform(())
    made = Transform(
        cmd=transform.words("cmd"),
        stdin=transform.texts("stdin"),
        err_cmd=transform.words("err_cmd"),
        err_stdin=transform.texts("err_stdin"),
        env=transform.variables("env"),
        accept_return_code=transform.counts("accept_return_code"),
        code=transform.texts("code"),
        working_dir=transform.text("working_dir") or None,
        image=transform.text("image") or None,
        user=transform.text("user") or None,
        secrets=read_secrets(transform),
        datum_batching=transform.flag("datum_batching"),
        task=read_task(transform, words=(*transform.words("cmd"), *transform.variables("env").values())),
    )
    if made.working_dir and posixpath.normpath(made.working_dir).split("/")[0] == "..":
        hint = "it is relative to where the command's code is; an absolute path may be anywhere"
        transform.bad("working_dir", f"the working_dir {made.working_dir!r} leads out of the code: {hint}")
    if not made.cmd or not made.cmd[0]:
        transform.bad("cmd", "the field 'cmd' of transform is missing: give the command as a list")
    _note_container_fields(made, fields.findings.notes)
    never = [code for code in made.accept_return_code if code > _LAST_EXIT_CODE]
    if never:
        # No error: pipelines that have it are stored, and must be read.
        told = ", ".join(map(str, never))
        fields.findings.notes.append(f"transform.accept_return_code: no command ends with {told}: 255 is the last")
    return made


def _note_container_fields(transform: Transform, notes: list[str]) -> None:
    if transform.image:
        note = f"transform.image: where no docker or podman has {transform.image}, the command runs on the host itself"
        loose = "; without a tag but latest, it is whatever is called so then"
        notes.append(note if _is_pinned(transform.image) else note + loose)
    if transform.user:
        notes.append("transform.user: has an effect only in a container")


def _is_pinned(image: str) -> bool:
    """Say whether an image has a digest, or a tag other than ``latest``."""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "@" in image or tag not in {"", "latest"}


def _input(fields: Fields, findings: Findings, *, pipeline: str) -> Input:
    node = fields.get("input")
    if reads_nothing(fields):
        return UnionInput(())
    if node is None:
        fields.bad("input", "the field 'input' is missing: it says which repo the pipeline reads")
        return UnionInput(())
    return read_input(node, findings, pipeline=pipeline)


def _output_branch(fields: Fields) -> str:
    branch = fields.text("output_branch") or DEFAULT_BRANCH
    return _name(fields, "output_branch", "branch", branch)


def _parallelism(fields: Fields) -> int:
    spec = fields.child("parallelism_spec")
    return spec.count("constant") if spec else 0


def _datum_set(fields: Fields) -> DatumSet:
    spec = fields.child("datum_set_spec") or fields.child("chunk_spec")
    if spec is None:
        return DatumSet()
    return DatumSet(spec.count("number"), spec.count("size_bytes"), spec.count("per_worker"))


def _reprocess(fields: Fields) -> Reprocess:
    text = fields.text("reprocess_spec") or Reprocess.UNTIL_SUCCESS
    try:
        return Reprocess(text)
    except ValueError:
        fields.bad("reprocess_spec", f"reprocess_spec must be {' or '.join(Reprocess)}, not {text!r}")
        return Reprocess.UNTIL_SUCCESS
