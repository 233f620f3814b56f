"""Every field of Pachyderm's reference (2.2, 2.3), and what becomes of it: read, noted in one line, or refused."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from pfs.errors import InvalidInputError
from pps.spec.known import INPUT, KNOWN, LEVERS
from pps.spec.parse import check_specs
from pps.spec.write import spec_document

OURS = {"transform.code", "cron.backfill", "object_storage.secret", "egress secret.name", "sql_database.columns"} | {
    f"{where}.{name}"
    for where in ("transform", "task", "artifact input", "artifact output")
    for name in KNOWN[where].read
    if where != "transform" or name == "task"
}
OURS |= {f"egress.{name}" for name in ("path", "secret", *LEVERS)}
"""What Pachyderm does not have."""
LEAF = {"repo": "r", "glob": "/(*)"}
KEYED = {"repo": "r", "glob": "/(*)", "join_on": "$1", "group_by": "$1"}

# kind of mapping and field, value, verdict: what it does to the spec, or what is told
TABLE: list[tuple[str, Any, str]] = [
    ("pipeline spec.pipeline", {"name": "q"}, "read"),
    ("pipeline.name", "q", "read"),
    ("pipeline.project", "default", "same"),
    ("pipeline.project", {"name": "default"}, "same"),
    ("pipeline.project", {"name": "other"}, "noted"),
    ("pipeline spec.description", "d", "read"),
    ("pipeline spec.transform", {"cmd": ["other"]}, "read"),
    ("transform.image", "ubuntu:20.04", "read and noted"),
    ("transform.cmd", ["a", "b"], "read"),
    ("transform.stdin", ["a"], "read"),
    ("transform.err_cmd", ["a"], "read"),
    ("transform.err_stdin", ["a"], "read"),
    ("transform.env", {"A": "b"}, "read"),
    ("transform.secrets", [{"name": "s", "mount_path": "/s"}], "read"),
    ("secret.name", "other", "read"),
    ("secret.key", "other", "read"),
    ("secret.env_var", "OTHER", "read"),
    ("secret.mount_path", "/other", "read"),
    ("transform.image_pull_secrets", ["a"], "noted"),
    ("transform.accept_return_code", [3], "read"),
    ("transform.debug", True, "noted"),
    ("transform.user", "me", "read and noted"),
    ("transform.working_dir", "/w", "read"),
    ("transform.dockerfile", "Dockerfile", "noted"),
    ("transform.build", {"language": "python", "path": "./src"}, "refused: does not exist any more"),
    ("transform.memory_volume", True, "noted"),
    ("transform.datum_batching", True, "read"),
    ("pipeline spec.tf_job", {"tf_job": "{}"}, "refused: is not supported, nor is it by Pachyderm"),
    ("pipeline spec.input", {"pfs": {"repo": "other", "glob": "/"}}, "read"),
    ("pipeline spec.parallelism_spec", {"constant": "4"}, "read"),
    ("parallelism_spec.constant", 4, "read"),
    ("parallelism_spec.strategy", "CONSTANT", "noted"),
    ("parallelism_spec.coefficient", 1.5, "noted"),
    ("pipeline spec.egress", {"URL": "s3://bucket/dir"}, "read"),
    ("egress.url", "s3://other", "read"),
    ("pipeline spec.egress", [{"URL": "s3://bucket/dir"}, {"sql_database": {"url": "sqlite://"}}], "read"),
    ("egress.path", "/report", "read"),
    ("egress.secret", "lake", "read"),
    ("egress.key", "{{run.date}}/{{file.path}}", "read"),
    ("egress.archive", "tar.zst", "read"),
    ("egress.archive_level", 3, "refused: goes with 'archive: tar.gz'"),
    ("egress.content_type", "text/csv", "read"),
    ("egress.content_encoding", "gzip", "read"),
    ("egress.cache_control", "max-age=60", "read"),
    ("egress.metadata", {"run": "{{job.id}}"}, "read"),
    ("egress.tags", {"team": "x"}, "read"),
    ("egress.storage_class", "STANDARD_IA", "read"),
    ("egress.acl", "private", "read"),
    ("egress.encryption", "AES256", "read"),
    ("egress.kms_key", "k", "refused: goes with 'encryption: aws:kms'"),
    ("egress.endpoint", "https://minio:9000", "read"),
    ("egress.region", "eu-central-1", "read"),
    ("egress.profile", "work", "read"),
    ("egress.addressing", "path", "read"),
    ("egress.object_storage", {"url": "s3://other"}, "refused: egress goes to one place"),
    ("egress.sql_database", {"url": "sqlite://"}, "refused: egress goes to one place"),
    ("sql_database.url", "sqlite:////x", "read"),
    ("sql_database.file_format", {"type": "JSON"}, "read"),
    ("sql_database.secret", {"name": "s", "key": "k"}, "read"),
    ("file_format.type", "PARQUET", "read"),
    ("file_format.columns", ["a"], "read"),
    ("sql secret.name", "other", "read"),
    ("sql secret.key", "other", "read"),
    ("object_storage.url", "s3://other", "read"),
    ("object_storage.secret", {"name": "s"}, "read"),
    ("egress secret.name", "other", "read"),
    ("pipeline spec.output_branch", "out", "read"),
    ("pipeline spec.s3_out", True, "read"),
    ("pipeline spec.resource_requests", {"cpu": 1, "memory": "1G", "gpu": {"type": "t", "number": 1}}, "read"),
    ("pipeline spec.resource_limits", {"disk": "1G"}, "read"),
    ("resources.cpu", 2, "read"),
    ("resources.memory", "2Gi", "read"),
    ("resources.disk", "2Gi", "read"),
    ("resources.gpu", {"type": "nvidia.com/gpu", "number": 2}, "read"),
    ("gpu.type", "other", "read"),
    ("gpu.number", 2, "read"),
    ("pipeline spec.sidecar_resource_requests", {"cpu": 1}, "noted"),
    ("pipeline spec.sidecar_resource_limits", {"cpu": 1}, "noted"),
    ("pipeline spec.datum_set_spec", {"number": "4"}, "read"),
    ("pipeline spec.chunk_spec", {"number": "4"}, "read"),
    ("datum_set_spec.number", "3", "read"),
    ("datum_set_spec.size_bytes", "1000", "read"),
    ("datum_set_spec.per_worker", "2", "read"),
    ("pipeline spec.datum_timeout", "1.5s", "read"),
    ("pipeline spec.job_timeout", "300s", "read"),
    ("pipeline spec.datum_tries", "5", "read"),
    ("pipeline spec.salt", "s", "read"),
    ("pipeline spec.scheduling_spec", {"node_selector": {"a": "b"}, "priority_class_name": "high"}, "noted"),
    ("pipeline spec.tolerations", [{"key": "k", "operator": "EXISTS"}], "noted"),
    ("pipeline spec.pod_spec", "{}", "noted"),
    ("pipeline spec.pod_patch", "[]", "noted"),
    ("pipeline spec.metadata", {"annotations": {"a": "b"}, "labels": {"c": "d"}}, "noted"),
    ("pipeline spec.service", {"internal_port": 80, "type": "NodePort"}, "read"),
    ("service.internal_port", 80, "read"),
    ("service.external_port", "31000", "read"),
    ("service.ip", "127.0.0.2", "read"),
    ("service.type", "LoadBalancer", "read"),
    ("pipeline spec.spout", {"service": {}}, "read"),
    ("spout.service", {"internal_port": 80}, "read"),
    ("spout.overwrite", True, "refused: is of Pachyderm 1.x"),
    ("spout.marker", "m", "refused: is of Pachyderm 1.x"),
    ("pipeline spec.reprocess_spec", "every_job", "read"),
    ("pipeline spec.autoscaling", True, "noted"),
    ("pipeline spec.maximum_expected_uptime", "300s", "noted"),
    ("pipeline spec.determined", {"workspaces": ["w"]}, "noted"),
    ("pipeline spec.enable_stats", True, "noted"),
    ("pipeline spec.standby", True, "noted"),
    ("pipeline spec.max_queue_size", 3, "noted"),
    ("pipeline spec.cache_size", "1G", "noted"),
    ("pipeline spec.hashtree_spec", {"constant": 1}, "noted"),
    ("pipeline spec.scale_down_threshold", "600s", "noted"),
    ("pipeline spec.incremental", True, "noted"),
    ("pipeline spec.batch", True, "noted"),
    ("pipeline spec.update", True, "noted"),
    ("pipeline spec.reprocess", True, "noted"),
    ("pipeline spec.dry_run", True, "noted"),
    ("pipeline spec.spec_commit", {"id": "a"}, "refused: cannot be given"),
    ("input.pfs", {"repo": "other", "glob": "/"}, "read"),
    ("input.cross", [{"pfs": LEAF}], "read"),
    ("input.union", [{"pfs": LEAF}], "read"),
    ("input.join", [{"pfs": KEYED}], "read"),
    ("input.group", [{"pfs": KEYED}], "read"),
    ("input.cron", {"name": "t", "spec": "@daily"}, "read"),
    ("input.git", {"URL": "x"}, "refused: does not exist any more"),
    ("input.atom", {"repo": "x"}, "refused: does not exist any more"),
    ("pfs.project", "default", "same"),
    ("pfs.project", "other", "noted"),
    ("pfs.name", "other", "read"),
    ("pfs.repo", "other", "read"),
    ("pfs.repo_type", "user", "same"),
    ("pfs.repo_type", "meta", "refused: the repo_type 'meta' cannot be read"),
    ("pfs.branch", "dev", "read"),
    ("pfs.commit", "a" * 32, "refused: a pipeline follows a branch"),
    ("pfs.glob", "/*", "read"),
    ("pfs.join_on", "$1", "noted"),
    ("pfs.outer_join", True, "same"),
    ("pfs.group_by", "$1", "noted"),
    ("pfs.lazy", True, "read"),
    ("pfs.empty_files", True, "read"),
    ("pfs.s3", True, "read"),
    ("pfs.trigger", {"commits": "2"}, "read"),
    ("trigger.branch", "dev", "read"),
    ("trigger.all", True, "read"),
    ("trigger.rate_spec", "@daily", "read"),
    ("trigger.size", "100MB", "read"),
    ("trigger.commits", "5", "read"),
    ("trigger.cron_spec", "@daily", "refused: takes no other condition"),
    ("pfs.propagation_spec", {"never": True}, "read"),
    ("propagation_spec.never", True, "read"),
    ("pfs.reference", True, "read"),
    ("cron.name", "other", "read"),
    ("cron.project", "default", "same"),
    ("cron.project", "other", "noted"),
    ("cron.repo", "other", "read"),
    ("cron.commit", "a" * 32, "refused: a pipeline follows a branch"),
    ("cron.spec", "0 * * * *", "read"),
    ("cron.overwrite", True, "read"),
    ("cron.start", "2026-01-01T00:00:00Z", "read"),
]  # fmt: skip


def base(where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a spec, and the mapping in it that is of this kind."""
    leaf: dict[str, Any] = dict(LEAF)
    transform: dict[str, Any] = {"cmd": ["x"]}
    spec: dict[str, Any] = {"pipeline": {"name": "p"}, "transform": transform, "input": {"pfs": leaf}}
    match where:
        case "pipeline spec":
            return spec, spec
        case "transform" | "pipeline" | "input":
            return spec, spec[where]
        case "egress":
            spec["egress"] = {"url": "s3://b"}
            return spec, spec["egress"]
        case "sql_database" | "file_format" | "sql secret":
            database: dict[str, Any] = {"url": "sqlite://", "file_format": {}}
            spec["egress"] = {"sql_database": database}
            if where == "sql_database":
                return spec, database
            if where == "file_format":
                return spec, database["file_format"]
            database["secret"] = {"name": "s", "key": "k"}
            return spec, database["secret"]
        case "object_storage" | "egress secret":
            storage: dict[str, Any] = {"url": "s3://b"}
            spec["egress"] = {"object_storage": storage}
            if where == "object_storage":
                return spec, storage
            storage["secret"] = {"name": "s"}
            return spec, storage["secret"]
        case "secret":
            transform["secrets"] = [{"name": "s", "key": "k", "env_var": "V"}]
            return spec, transform["secrets"][0]
        case "pfs":
            return spec, leaf
        case "resources":
            spec["resource_limits"] = {"cpu": 1}
            return spec, spec["resource_limits"]
        case "gpu":
            spec["resource_limits"] = {"gpu": {"type": "nvidia.com/gpu", "number": 1}}
            return spec, spec["resource_limits"]["gpu"]
        case "trigger" | "propagation_spec":
            leaf[where] = {"commits": 2} if where == "trigger" else {}
            return spec, leaf[where]
        case "service":
            spec["service"] = {"internal_port": 90}
            return spec, spec["service"]
        case "spout":
            del spec["input"]
        case "cron":
            spec["input"] = {"cron": {"name": "t", "spec": "@daily"}}
            return spec, spec["input"]["cron"]
    spec[where] = {}
    return spec, spec[where]


def told(spec: dict[str, Any]) -> tuple[Any, list[str], list[str]]:
    """Return the normalised spec, the notes and the errors."""
    try:
        specs, errors = check_specs(json.dumps(spec), name="p.json")
    except InvalidInputError as error:
        return None, [], [str(error)]
    notes = [note for one in specs for note in one.notes]
    return [spec_document(one) for one in specs], notes, [str(error) for error in errors]


@pytest.mark.parametrize(("field", "value", "verdict"), TABLE, ids=lambda cell: str(cell)[:40])
def test_what_becomes_of_it(field: str, value: Any, verdict: str) -> None:
    where, _, name = field.partition(".")
    spec, place = base(where)
    before = told(deepcopy(spec))
    assert before[2] == []
    if where == "input" and name in INPUT.read:
        place.clear()
    if field == "pfs.s3":
        del place["glob"]
    place[name] = value
    if field == "pipeline spec.spout":
        del spec["input"]
    document, notes, errors = told(spec)
    if verdict.startswith("refused: "):
        assert len(errors) == 1
        assert verdict.removeprefix("refused: ") in errors[0]
        return
    assert errors == []
    new = [note for note in notes if note.startswith(f"{field}: ") and note not in before[1]]
    assert len(new) == verdict.endswith("noted")
    assert (document != before[0]) == verdict.startswith("read")


def test_the_table_has_every_field() -> None:
    known = {f"{where}.{name}" for where, one in KNOWN.items() for name in (*one.read, *one.noted, *one.refused)}
    assert known - OURS == {field for field, _, _ in TABLE} - OURS
