"""Services and spouts in a spec: commands that run on, and what Pachyderm does not allow beside them."""

from __future__ import annotations

from typing import Final, cast

from pps.spec.fields import Fields
from pps.spec.known import SERVICE_TYPES
from pps.spec.types import DEFAULT_TRIES, DatumSet, Reprocess, Service, ServiceType, Spec

_MOST: Final = 65535


def read_service(fields: Fields, *, parallelism: int) -> Service | None:
    """Return the service of a pipeline or of its spout, and tell what does not go with either, with the rule."""
    spout, service = fields.child("spout"), fields.child("service")
    if spout is not None and service is not None:
        fields.bad("service", "a spout has its service in the field 'spout': move it there")
    if fields.raw("service") == {}:
        fields.bad("service", "a service needs an internal_port: where its command listens")
    if spout is not None and fields.raw("autoscaling") is True:
        fields.bad("autoscaling", "'autoscaling' cannot be used with a spout: it always runs")
    if parallelism > 1 and (spout is not None or service is not None):
        what = "service" if spout is None else "spout"
        fields.bad("parallelism_spec", f"the command of a {what} runs once: 'constant' must be 1, not {parallelism}")
    if spout is not None and service is None:
        service = spout.child("service")
    return None if service is None else _service(service)


def reads_nothing(fields: Fields) -> bool:
    """Say whether the pipeline is a spout, which is given no data; tell where it cannot have an input."""
    spout = fields.raw("spout")
    if not isinstance(spout, dict):
        return False
    if fields.has("input") and not spout.get("service"):
        fields.bad("input", "a spout without a service has no input: it is given no data")
    elif fields.has("input"):
        fields.findings.notes.append("pipeline spec.input: has no effect: a spout is given no data")
    return True


def without_effect(spec: Spec) -> list[str]:
    """Return a note for each field of a service or spout that says something about datums, or about jobs that end."""
    if not spec.runs_on:
        return []
    given = {
        "pipeline spec.datum_tries": spec.datum_tries != DEFAULT_TRIES,
        "pipeline spec.datum_timeout": spec.datum_timeout_s is not None,
        "pipeline spec.job_timeout": spec.job_timeout_s is not None,
        "pipeline spec.datum_set_spec": spec.datum_set != DatumSet(),
        "pipeline spec.reprocess_spec": spec.reprocess != Reprocess.UNTIL_SUCCESS,
        "pipeline spec.resource_requests": bool(spec.requests),
        "pipeline spec.egress": bool(spec.egresses),
        "transform.err_cmd": bool(spec.transform.err_cmd),
        "transform.datum_batching": spec.transform.datum_batching,
    }
    why = "has no effect: the command runs on, and again when it has ended"
    return [f"{name}: {why}" for name, is_given in given.items() if is_given]


def _service(service: Fields) -> Service:
    internal, external = _port(service, "internal_port"), _port(service, "external_port")
    type = service.text("type") or "NodePort"
    if type not in SERVICE_TYPES:
        service.bad("type", f"the type of a service must be one of {', '.join(SERVICE_TYPES)}, not {type!r}")
    if external and not internal:
        service.bad("external_port", "external_port needs an internal_port, to which it leads")
    return Service(internal, external, service.text("ip"), cast("ServiceType", type))


def _port(service: Fields, name: str) -> int:
    port = service.count(name)
    if port > _MOST:
        service.bad(name, f"{name} must be a port, at most {_MOST}, not {port}")
    return port
