"""Every field of Pachyderm's specs: which are read, which are accepted without effect, which are refused, and why.

Any other field is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_KUBERNETES = "has no effect: it is for Kubernetes"
_RESOURCES = "has no effect: nothing is reserved or limited on this machine"
_OLD = "has no effect: it is of Pachyderm 1.x"
_REQUEST = "has no effect in a file: it is a flag of `pps update-pipeline`"
_NOT_YET = "is not supported yet: remove it"


@dataclass(frozen=True, slots=True)
class Known:
    """The fields of one kind of mapping; ``where`` names it in messages, the mappings give the reason for each name."""

    where: str
    read: tuple[str, ...]
    noted: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


PIPELINE_NOTED = {
    "resource_requests": _RESOURCES,
    "resource_limits": _RESOURCES,
    "sidecar_resource_requests": _RESOURCES,
    "sidecar_resource_limits": _RESOURCES,
    "scheduling_spec": _KUBERNETES,
    "tolerations": _KUBERNETES,
    "pod_spec": _KUBERNETES,
    "pod_patch": _KUBERNETES,
    "metadata": _KUBERNETES,
    "autoscaling": "has no effect: workers exist only while there is work",
    "maximum_expected_uptime": "has no effect: workers exist only while there is work",
    "enable_stats": _OLD,
    "standby": _OLD,
    "max_queue_size": _OLD,
    "cache_size": _OLD,
    "update": _REQUEST,
    "reprocess": _REQUEST,
    "dry_run": _REQUEST,
}
PIPELINE_REFUSED = {
    "egress": _NOT_YET,
    "spout": _NOT_YET,
    "service": _NOT_YET,
    "s3_out": _NOT_YET,
    "tf_job": _NOT_YET,
    "determined": _NOT_YET,
    "spec_commit": "cannot be given: the store numbers versions by itself",
}
TRANSFORM_NOTED = {
    "image_pull_secrets": _KUBERNETES,
    "dockerfile": "has no effect: images are not built here",
    "debug": "has no effect: the log always has all that the command writes",
    "memory_volume": "has no effect: data is staged on disk",
}
TRANSFORM_REFUSED = {
    "secrets": _NOT_YET,
    "datum_batching": _NOT_YET,
}
PFS_REFUSED = {
    "commit": "cannot be given: a pipeline follows a branch",
    "lazy": _NOT_YET,
    "s3": _NOT_YET,
    "trigger": _NOT_YET,
}
INPUT_KINDS_GONE = {"atom": "pfs", "git": "pfs"}

PIPELINE = Known(
    "pipeline spec",
    (
        "pipeline",
        "description",
        "transform",
        "input",
        "output_branch",
        "datum_tries",
        "datum_timeout",
        "job_timeout",
        "parallelism_spec",
        "datum_set_spec",
        "chunk_spec",
        "reprocess_spec",
        "salt",
    ),
    PIPELINE_NOTED,
    PIPELINE_REFUSED,
)
NAME = Known("pipeline", ("name", "project"))
TRANSFORM = Known(
    "transform",
    (
        "cmd",
        "stdin",
        "err_cmd",
        "err_stdin",
        "env",
        "accept_return_code",
        "code",
        "working_dir",
        "image",
        "user",
    ),
    TRANSFORM_NOTED,
    TRANSFORM_REFUSED,
)
PARALLELISM = Known("parallelism_spec", ("constant",), {"strategy": _OLD, "coefficient": _OLD})
DATUM_SET = Known("datum_set_spec", ("number", "size_bytes", "per_worker"))
INPUT = Known(
    "input",
    ("pfs", "cron", "cross", "union", "join", "group"),
    refused={kind: f"does not exist any more: use {instead}" for kind, instead in INPUT_KINDS_GONE.items()},
)
PFS = Known(
    "pfs",
    (
        "name",
        "repo",
        "project",
        "repo_type",
        "branch",
        "glob",
        "empty_files",
        "reference",
        "propagation_spec",
        "join_on",
        "outer_join",
        "group_by",
    ),
    refused=PFS_REFUSED,
)
CRON = Known(
    "cron",
    ("name", "repo", "spec", "overwrite", "start", "backfill"),
    {"project": "has no effect: there are no projects"},
)
PROPAGATION = Known("propagation_spec", ("never",))
