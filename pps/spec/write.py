"""A `Spec` as the document that spec_parse.py reads back to an equal value: what the store keeps of each version."""

from __future__ import annotations

import dataclasses
import json

from pfs.model import Trigger
from pps.spec.delivery import Levers
from pps.spec.node import Plain
from pps.spec.task import Task
from pps.spec.types import (
    Cron,
    CrossInput,
    DatumSet,
    Egress,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    Resources,
    SecretUse,
    Service,
    Spec,
    SqlEgress,
    Transform,
    UnionInput,
)
from pps.times import time_text


def spec_json(spec: Spec) -> str:
    """Return the normalised spec as JSON text, snake_case, with a newline at the end; defaults are left out."""
    return json.dumps(spec_document(spec), indent=2, ensure_ascii=False) + "\n"


def spec_document(spec: Spec) -> dict[str, Plain]:
    """Return the normalised spec as plain values."""
    document: dict[str, Plain] = {"pipeline": {"name": spec.name}}
    document |= _set({"description": spec.description})
    document["transform"] = transform_document(spec.transform)
    if not spec.spout:
        document["input"] = input_document(spec.input)
    document |= {"output_branch": spec.output_branch, "datum_tries": spec.datum_tries}
    document |= _set(
        {
            "datum_timeout": spec.datum_timeout_s,
            "job_timeout": spec.job_timeout_s,
            "parallelism_spec": {"constant": spec.parallelism} if spec.parallelism else None,
            "datum_set_spec": _datum_set(spec.datum_set),
            "resource_requests": _resources(spec.requests),
            "resource_limits": _resources(spec.limits),
        }
    )
    document["reprocess_spec"] = spec.reprocess.value
    document |= _set({"salt": spec.salt, "s3_out": spec.s3_out, "egress": _egresses(spec.egresses)})
    return document | _runs_on(spec)


def _runs_on(spec: Spec) -> dict[str, Plain]:
    service: Plain = None if spec.service is None else _service(spec.service)
    if spec.spout:
        return {"spout": {} if service is None else {"service": service}}
    return {} if service is None else {"service": service}


def _service(service: Service) -> Plain:
    ports = {"internal_port": service.internal_port, "external_port": service.external_port}
    return {**_set({**ports, "ip": service.ip}), "type": service.type}


def _egresses(egresses: tuple[Egress | SqlEgress, ...]) -> Plain:
    """Return one as a mapping, as Pachyderm has it, and several as a list."""
    documents = [_egress(egress) for egress in egresses]
    return documents[0] if len(documents) == 1 else documents


def _egress(egress: Egress | SqlEgress) -> Plain:
    if isinstance(egress, SqlEgress):
        files = {"type": egress.format.upper(), **_set({"columns": list(egress.columns)})}
        password: Plain = {"name": egress.secret, "key": egress.key} if egress.secret else None
        return {"sql_database": {"url": egress.url, "file_format": files, **_set({"secret": password})}}
    secret: Plain = {"name": egress.secret} if egress.secret else None
    storage = {"url": egress.url, **_set({"secret": secret})}
    return {"object_storage": storage, **_set({"path": egress.path}), **levers_document(egress.levers)}


def levers_document(levers: Levers) -> dict[str, Plain]:
    """Return the levers of a delivery as plain values, without those that are not set."""
    found = {one.name: getattr(levers, one.name) for one in dataclasses.fields(levers)}
    found |= {"metadata": dict(sorted(levers.metadata.items())), "tags": dict(sorted(levers.tags.items()))}
    return {name: value for name, value in _set(found).items() if (name, value) != ("archive", "none")}


def transform_document(transform: Transform) -> Plain:
    """Return a transform as plain values."""
    return _set(
        {
            "cmd": list(transform.cmd),
            "stdin": list(transform.stdin),
            "err_cmd": list(transform.err_cmd),
            "err_stdin": list(transform.err_stdin),
            "env": dict(sorted(transform.env.items())),
            "accept_return_code": list(transform.accept_return_code),
            "code": list(transform.code),
            "working_dir": transform.working_dir,
            "image": transform.image,
            "user": transform.user,
            "secrets": [_secret(use) for use in transform.secrets],
            "datum_batching": transform.datum_batching,
            "task": None if transform.task is None else task_document(transform.task),
        }
    )


def task_document(task: Task) -> Plain:
    """Return the task of a workflow as plain values."""
    inputs: list[Plain] = [
        _set({"name": one.name, "path": one.path, "type": one.type, "optional": one.optional, "part": one.part})
        for one in task.inputs
    ]
    outputs: list[Plain] = [
        _set(
            {
                "name": one.name,
                "path": one.path,
                "type": one.type,
                "to": one.to,
                "missing": one.missing,
                "content_type": one.content_type,
                "metadata": dict(sorted(one.metadata.items())),
            }
        )
        for one in task.outputs
    ]
    named: dict[str, Plain] = {"workflow": task.workflow, "name": task.name}
    return named | _set(
        {"shell": task.shell, "each": task.each, "below": task.below, "inputs": inputs, "outputs": outputs}
    )


def _secret(use: SecretUse) -> Plain:
    return _set({"name": use.name, "key": use.key, "env_var": use.env_var, "mount_path": use.mount_path})


def input_document(node: Input) -> Plain:
    """Return an input as plain values."""
    match node:
        case CrossInput():
            return {"cross": [input_document(child) for child in node.children]}
        case UnionInput():
            return {"union": [input_document(child) for child in node.children]}
        case JoinInput():
            return {"join": [input_document(child) for child in node.children]}
        case GroupInput():
            return {"group": [input_document(child) for child in node.children]}
        case PfsInput() if node.cron is not None:
            return {"cron": _cron_document(node, node.cron)}
        case PfsInput():
            leaf: dict[str, Plain] = {"name": node.name, "repo": node.repo, "branch": node.branch, "glob": node.glob}
            also: dict[str, Plain] = {
                "empty_files": node.empty_files,
                "lazy": node.lazy,
                "reference": node.reference,
                "join_on": node.join_on,
                "outer_join": node.outer_join,
                "group_by": node.group_by,
                "s3": node.s3,
                "propagation_spec": {"never": True} if node.never else None,
                "trigger": None if node.trigger is None else _trigger(node.trigger),
            }
            return {"pfs": leaf | _set(also)}


def _trigger(trigger: Trigger) -> Plain:
    size = None if trigger.size_bytes is None else str(trigger.size_bytes)
    conditions = {"rate_spec": trigger.rate, "size": size, "commits": trigger.commits, "cron_spec": trigger.cron}
    return {"branch": trigger.branch, **_set({**conditions, "all": trigger.all})}


def _cron_document(node: PfsInput, cron: Cron) -> Plain:
    document: dict[str, Plain] = {"name": node.name, "repo": node.repo, "spec": cron.schedule}
    start = None if cron.start_ns is None else time_text(cron.start_ns)
    return document | _set({"overwrite": cron.overwrite, "start": start, "backfill": cron.backfill})


def _datum_set(spec: DatumSet) -> Plain:
    return _set({"number": spec.number, "size_bytes": spec.size_bytes, "per_worker": spec.per_worker}) or None


def _resources(given: Resources) -> Plain:
    gpu = _set({"type": given.gpu_type, "number": given.gpus})
    return _set({"cpu": given.cpu, "memory": given.memory, "disk": given.disk, "gpu": gpu}) or None


def _set(values: dict[str, Plain]) -> dict[str, Plain]:
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, False, 0)}
