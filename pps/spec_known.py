"""Every field of Pachyderm's specs that is not read: accepted without effect, or refused, and why.

A field that is in neither table and that spec_parse.py does not read is unknown.
"""

from __future__ import annotations

_KUBERNETES = "has no effect: it is for Kubernetes"
_RESOURCES = "has no effect: nothing is reserved or limited on this machine"
_OLD = "has no effect: it is of Pachyderm 1.x"
_REQUEST = "has no effect in a file: it is a flag of `pps update-pipeline`"
_NOT_YET = "is not supported yet: remove it"

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
PFS_NOTED = {
    "join_on": "has no effect outside a join",
    "outer_join": "has no effect outside a join",
    "group_by": "has no effect outside a group",
}
PFS_REFUSED = {
    "commit": "cannot be given: a pipeline follows a branch",
    "lazy": _NOT_YET,
    "s3": _NOT_YET,
    "trigger": _NOT_YET,
}
INPUT_KINDS_LATER = ("union", "join", "group", "cron")
INPUT_KINDS_GONE = {"atom": "pfs", "git": "pfs"}
