"""Every field of Pachyderm's specs: which are read and as what, which are accepted without effect, which are refused.

Any other field is unknown. This one table is what the reader goes by (fields.py refuses to read a field as
anything else) and what the JSON Schema for editors is made of (schema.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pps.spec.node import Plain
from pps.spec.vocabulary import Field, Kind, Known

_KUBERNETES = "has no effect: it is for Kubernetes"
_SIDECAR = "has no effect: there is no sidecar, the gateway of a job is part of pps"
_OLD = "has no effect: it is of Pachyderm 1.x"
_REQUEST = "has no effect in a file: it is a flag of `pps update-pipeline`"
_UPTIME = "has no effect: workers exist only while there is work"
_PROJECT = "has no effect: there are no projects"
_OLD_SPOUT = "is of Pachyderm 1.x: a spout writes commits with `pfs put-file`, in Python or over S3"


PIPELINE_NOTED = {
    "sidecar_resource_requests": _SIDECAR,
    "sidecar_resource_limits": _SIDECAR,
    "scheduling_spec": _KUBERNETES,
    "tolerations": _KUBERNETES,
    "pod_spec": _KUBERNETES,
    "pod_patch": _KUBERNETES,
    "metadata": _KUBERNETES,
    "determined": "has no effect: it gives access to the workspaces of a Determined.AI cluster",
    "autoscaling": _UPTIME,
    "maximum_expected_uptime": _UPTIME,
    "enable_stats": _OLD,
    "standby": _OLD,
    "max_queue_size": _OLD,
    "cache_size": _OLD,
    "hashtree_spec": _OLD,
    "scale_down_threshold": _OLD,
    "incremental": _OLD,
    "batch": _OLD,
    "update": _REQUEST,
    "reprocess": _REQUEST,
    "dry_run": _REQUEST,
}
PIPELINE_REFUSED = {
    "tf_job": "is not supported, nor is it by Pachyderm: give the command in 'transform'",
    "spec_commit": "cannot be given: the store numbers versions by itself",
}
TRANSFORM_NOTED = {
    "image_pull_secrets": _KUBERNETES,
    "dockerfile": "has no effect: images are not built here",
    "debug": "has no effect: the log always has all that the command writes",
    "memory_volume": "has no effect: data is staged on disk",
}
TRANSFORM_REFUSED = {
    "build": "does not exist any more: name the script in 'cmd', its code is taken from the spec's folder",
}
PFS_REFUSED = {
    "commit": "cannot be given: a pipeline follows a branch",
}
PROJECT_NOTED = {"project": _PROJECT}
USUAL_PROJECT: Mapping[str, Sequence[Plain]] = {"project": ("default", {"name": "default"})}
SERVICE_TYPES = ("NodePort", "ClusterIP", "LoadBalancer")
INPUT_KINDS_GONE = {"atom": "pfs", "git": "pfs"}

PIPELINE = Known(
    "pipeline spec",
    {
        "pipeline": Field(Kind.CHILD, "which pipeline this is", of="pipeline", required=True),
        "description": Field(Kind.TEXT, "what it is for, for people"),
        "transform": Field(Kind.CHILD, "the command, and what surrounds it", of="transform"),
        "input": Field(Kind.CHILD, "what it reads: a repo, or several combined", of="input"),
        "output_branch": Field(Kind.TEXT, "the branch of the output repo; default: master"),
        "datum_tries": Field(Kind.COUNT, "attempts at a datum in all; default: 3"),
        "datum_timeout": Field(Kind.SECONDS, "the limit of one attempt at a datum"),
        "job_timeout": Field(Kind.SECONDS, "after this a job is killed"),
        "parallelism_spec": Field(Kind.CHILD, "how much runs at the same time", of="parallelism_spec"),
        "datum_set_spec": Field(Kind.CHILD, "how many datums go into one unit of work", of="datum_set_spec"),
        "chunk_spec": Field(Kind.CHILD, "datum_set_spec, as Pachyderm 1.x called it", of="datum_set_spec"),
        "reprocess_spec": Field(
            Kind.TEXT,
            "when unchanged datums run again: until they succeed once, or in every job",
            choices=("until_success", "every_job"),
        ),
        "resource_requests": Field(Kind.CHILD, "what must be free before a command starts", of="resources"),
        "resource_limits": Field(Kind.CHILD, "a command that uses more of it is killed", of="resources"),
        "salt": Field(Kind.TEXT, "part of each datum's hash: another one runs everything again"),
        "egress": Field(Kind.ONE_OR_MORE, "where the output is sent to as well, before a job succeeds", of="egress"),
        "s3_out": Field(Kind.FLAG, "what the command writes to the bucket 'out' is the output, there is no /pfs/out"),
        "service": Field(Kind.CHILD, "the command runs on over the newest data, and listens on a port", of="service"),
        "spout": Field(Kind.CHILD, "the command runs on without an input, and writes commits itself", of="spout"),
    },
    PIPELINE_NOTED,
    PIPELINE_REFUSED,
    json=frozenset({"pod_spec", "pod_patch"}),
)
NAME = Known(
    "pipeline",
    {
        "name": Field(Kind.TEXT, "its name, and that of its output repo", required=True),
    },
    PROJECT_NOTED,
    usual=USUAL_PROJECT,
)
RESOURCES = Known(
    "resources",
    {
        "cpu": Field(Kind.TEXT, "processors: 0.5 or 500m"),
        "memory": Field(Kind.TEXT, "64M, 1Gi or a number of bytes"),
        "disk": Field(Kind.TEXT, "of /pfs/out, /tmp and what else the command writes: 64M, 1Gi or a number of bytes"),
        "gpu": Field(Kind.CHILD, "how many GPUs", of="gpu"),
    },
)
GPU = Known(
    "gpu",
    {
        "type": Field(Kind.TEXT, "such as nvidia.com/gpu; all GPUs of the machine are of one type here"),
        "number": Field(Kind.COUNT, "how many"),
    },
)
TRANSFORM = Known(
    "transform",
    {
        "cmd": Field(Kind.WORDS, "the command, word by word, run without a shell"),
        "stdin": Field(Kind.TEXTS, "lines for its standard input"),
        "err_cmd": Field(Kind.WORDS, "run when the command failed; if it succeeds the datum is recovered"),
        "err_stdin": Field(Kind.TEXTS, "lines for the standard input of err_cmd"),
        "env": Field(Kind.TEXT_MAP, "variables of the command"),
        "accept_return_code": Field(Kind.COUNTS, "exit codes that count as success beside 0"),
        "datum_batching": Field(Kind.FLAG, "started once for many datums; calls `next-datum` for each of them"),
        "code": Field(Kind.TEXTS, "files and folders under the spec's folder that belong to the command"),
        "working_dir": Field(Kind.TEXT, "where the command starts; default: the copy of the code"),
        "image": Field(Kind.TEXT, "the image, where commands run in containers"),
        "user": Field(Kind.TEXT, "the user in the container"),
        "secrets": Field(Kind.CHILDREN, "secrets of the store that the command is given", of="secret"),
        "task": Field(Kind.CHILD, "it is a task of a workflow; `pps run-workflow` writes this", of="task"),
    },
    TRANSFORM_NOTED,
    TRANSFORM_REFUSED,
)
SECRET = Known(
    "secret",
    {
        "name": Field(Kind.TEXT, "its name; `pps create-secret` makes it", required=True),
        "key": Field(Kind.TEXT, "which of its values; required for env_var"),
        "env_var": Field(Kind.TEXT, "the variable that gets the value of the key"),
        "mount_path": Field(Kind.TEXT, "the folder that has a file for each key, or for the one"),
    },
)
ARTIFACT_TYPES = ("file", "directory", "glob")
INPUT_TYPES = ("file", "directory", "any")
MISSING = ("fail", "warn", "ignore")
TASK = Known(
    "task",
    {
        "workflow": Field(Kind.TEXT, "the workflow", required=True),
        "name": Field(Kind.TEXT, "the name of the task in it", required=True),
        "shell": Field(Kind.FLAG, "the last word of cmd is a text for the shell"),
        "each": Field(Kind.TEXT, "the input whose match is the item"),
        "below": Field(Kind.TEXT, "the directory that the item leaves out of the path of the match"),
        "inputs": Field(Kind.CHILDREN, "artifacts that are put in place before the command", of="artifact input"),
        "outputs": Field(Kind.CHILDREN, "artifacts that are taken when it has ended", of="artifact output"),
    },
)
ARTIFACT_IN = Known(
    "artifact input",
    {
        "name": Field(Kind.TEXT, "the input of the pipeline that has the files", required=True),
        "path": Field(Kind.TEXT, "where they are put", required=True),
        "type": Field(Kind.TEXT, "default: file; any: what the match is", choices=INPUT_TYPES),
        "optional": Field(Kind.FLAG, "nothing is put there where the input has no files"),
        "part": Field(Kind.TEXT, "the directory of the input that is meant"),
    },
)
ARTIFACT_OUT = Known(
    "artifact output",
    {
        "name": Field(Kind.TEXT, "the directory of the output for it", required=True),
        "path": Field(Kind.TEXT, "where the command leaves it", required=True),
        "type": Field(Kind.TEXT, "default: file", choices=ARTIFACT_TYPES),
        "to": Field(Kind.TEXT, "its name below the directory of the output"),
        "missing": Field(Kind.TEXT, "what happens if it is not there; default: fail", choices=MISSING),
        "content_type": Field(Kind.TEXT, "its type on S3; default: guessed from the name"),
        "metadata": Field(Kind.TEXT_MAP, "its metadata on S3"),
    },
)
PARALLELISM = Known(
    "parallelism_spec",
    {"constant": Field(Kind.COUNT, "units of work at the same time; default: two for each slot")},
    {"strategy": _OLD, "coefficient": _OLD},
)
DATUM_SET = Known(
    "datum_set_spec",
    {
        "number": Field(Kind.COUNT, "datums in a unit"),
        "size_bytes": Field(Kind.COUNT, "a unit is full once its inputs have this size"),
        "per_worker": Field(Kind.COUNT, "units for each worker"),
    },
)
SERVICE = Known(
    "service",
    {
        "internal_port": Field(Kind.COUNT, "the port on which the command listens"),
        "external_port": Field(Kind.COUNT, "the port that leads there; default: the same"),
        "ip": Field(Kind.TEXT, "the address of this machine with the external port; default: 127.0.0.1"),
        "type": Field(Kind.TEXT, "has a meaning on Kubernetes only", choices=SERVICE_TYPES),
    },
)
SPOUT = Known(
    "spout",
    {"service": Field(Kind.CHILD, "where the command is reached by those who push data", of="service")},
    refused={"overwrite": _OLD_SPOUT, "marker": _OLD_SPOUT},
)
INPUT = Known(
    "input",
    {
        "pfs": Field(Kind.CHILD, "one datum for each file or directory that matches", of="pfs"),
        "cron": Field(Kind.CHILD, "a file at each tick of a schedule", of="cron"),
        "cross": Field(Kind.CHILDREN, "one datum for each combination", of="input"),
        "union": Field(Kind.CHILDREN, "the datums of each input, one after the other", of="input"),
        "join": Field(Kind.CHILDREN, "files whose join_on is the same", of="input"),
        "group": Field(Kind.CHILDREN, "one datum for all files whose group_by is the same", of="input"),
    },
    refused={kind: f"does not exist any more: use {instead}" for kind, instead in INPUT_KINDS_GONE.items()},
)
PFS = Known(
    "pfs",
    {
        "name": Field(Kind.TEXT, "where its files are: /pfs/<name>; default: the repo's name"),
        "repo": Field(Kind.TEXT, "the repo to read", required=True),
        "repo_type": Field(Kind.TEXT, "'user'", choices=("user",)),
        "branch": Field(Kind.TEXT, "the branch to read; default: master"),
        "glob": Field(Kind.TEXT, "what makes a datum: '/' one of everything, '/*' one for each entry at the top"),
        "empty_files": Field(Kind.FLAG, "names without bytes"),
        "lazy": Field(Kind.FLAG, "each file is a named pipe, filled when the command opens it"),
        "reference": Field(Kind.FLAG, "a change of its content alone runs nothing"),
        "trigger": Field(Kind.CHILD, "read a branch that follows another one when a condition holds", of="trigger"),
        "propagation_spec": Field(Kind.CHILD, "which commits make jobs", of="propagation_spec"),
        "join_on": Field(Kind.TEXT, "in a join: by what files belong together, '$1' for the glob's first parenthesis"),
        "outer_join": Field(Kind.FLAG, "in a join: its files count also where others have none"),
        "group_by": Field(Kind.TEXT, "in a group: by what files belong together"),
        "s3": Field(Kind.FLAG, "not staged: read over S3, from the bucket that is called like the input"),
    },
    PROJECT_NOTED,
    PFS_REFUSED,
    USUAL_PROJECT,
)
CRON = Known(
    "cron",
    {
        "name": Field(Kind.TEXT, "where its files are: /pfs/<name>", required=True),
        "repo": Field(Kind.TEXT, "the repo that gets the files; default: <pipeline>_<name>"),
        "spec": Field(Kind.TEXT, "five cron fields in UTC, @daily and the like, or @every 1h30m", required=True),
        "overwrite": Field(Kind.FLAG, "only the file of the last tick stays"),
        "start": Field(Kind.TEXT, "ticks come after this time, such as 2026-01-31T00:00:00Z"),
        "backfill": Field(Kind.FLAG, "ticks that nobody was there for are made up for, each of its own"),
    },
    PROJECT_NOTED,
    {"commit": "cannot be given: a pipeline follows a branch"},
    USUAL_PROJECT,
)
TRIGGER = Known(
    "trigger",
    {
        "branch": Field(Kind.TEXT, "the branch to follow; default: master"),
        "all": Field(Kind.FLAG, "all conditions must hold, not one"),
        "rate_spec": Field(Kind.TEXT, "when a tick of this schedule has passed"),
        "size": Field(Kind.TEXT, "when so much was added, such as 100MB"),
        "commits": Field(Kind.COUNT, "when there were so many commits"),
        "cron_spec": Field(Kind.TEXT, "at each tick of this schedule"),
    },
)
LEVERS: Mapping[str, Field] = {
    "key": Field(Kind.TEXT, "the name of each object below the URL; default: {{file.path}}"),
    "archive": Field(
        Kind.TEXT, "all files as one archive; default: none", choices=("none", "tar", "tar.gz", "tar.zst", "zip")
    ),
    "archive_level": Field(Kind.COUNT, "how hard to compress: 1 to 9 of tar.gz, 1 to 19 of tar.zst"),
    "content_type": Field(Kind.TEXT, "the media type; default: that of the file, or what its name says"),
    "content_encoding": Field(Kind.TEXT, "as which the bytes are packed, such as gzip"),
    "cache_control": Field(Kind.TEXT, "how long others may keep it, such as max-age=3600"),
    "metadata": Field(Kind.TEXT_MAP, "the user's metadata of each object, beside that of the file"),
    "tags": Field(Kind.TEXT_MAP, "the tags of each object, 10 at most"),
    "storage_class": Field(Kind.TEXT, "the storage class, such as STANDARD_IA"),
    "acl": Field(Kind.TEXT, "a canned ACL, such as bucket-owner-full-control"),
    "encryption": Field(Kind.TEXT, "encryption by the server: AES256, aws:kms or aws:kms:dsse"),
    "kms_key": Field(Kind.TEXT, "the key of aws:kms"),
    "endpoint": Field(Kind.TEXT, "the address of the server, of others than AWS"),
    "region": Field(Kind.TEXT, "the region of the bucket"),
    "profile": Field(Kind.TEXT, "the profile of the AWS configuration that says as whom"),
    "addressing": Field(Kind.TEXT, "whether the bucket is in the path or in the name of the host"),
}
"""What may be said of a delivery, here and in workflow files; `pps.spec.levers.read_levers` reads it."""
EGRESS = Known(
    "egress",
    {
        "url": Field(Kind.TEXT, "s3://bucket/path or file:///path; Pachyderm writes the field as URL"),
        "object_storage": Field(Kind.CHILD, "the same, where it needs a secret too", of="object_storage"),
        "sql_database": Field(Kind.CHILD, "tables that get the rows of the output's files", of="sql_database"),
        "path": Field(Kind.TEXT, "the part of the output that is sent: a file or a directory; default: all of it"),
        "secret": Field(Kind.TEXT, "the name of the secret with endpoint and credentials"),
        **LEVERS,
    },
)
SQL_DATABASE = Known(
    "sql_database",
    {
        "url": Field(Kind.TEXT, "postgresql://user@host:port/database and the like, without a password"),
        "file_format": Field(Kind.CHILD, "what the files are", of="file_format"),
        "columns": Field(Kind.TEXTS, "those of file_format, where it belongs"),
        "secret": Field(Kind.CHILD, "the secret with the password", of="sql secret"),
    },
)
FILE_FORMAT = Known(
    "file_format",
    {
        "type": Field(
            Kind.TEXT,
            "CSV, JSON (an object a line) or PARQUET",
            choices=("CSV", "JSON", "PARQUET", "csv", "json", "parquet"),
        ),
        "columns": Field(Kind.TEXTS, "the columns that are taken; CSV files name theirs in the first row then"),
    },
)
SQL_SECRET = Known(
    "sql secret",
    {
        "name": Field(Kind.TEXT, "its name", required=True),
        "key": Field(Kind.TEXT, "which of its values is the password", required=True),
    },
)
OBJECT_STORAGE = Known(
    "object_storage",
    {
        "url": Field(Kind.TEXT, "s3://bucket/path or file:///path"),
        "secret": Field(Kind.CHILD, "the secret with endpoint and credentials", of="egress secret"),
    },
)
EGRESS_SECRET = Known(
    "egress secret",
    {"name": Field(Kind.TEXT, "its name; its keys are called like boto3's variables", required=True)},
)
PROPAGATION = Known("propagation_spec", {"never": Field(Kind.FLAG, "its commits make no jobs")})

KNOWN = {
    known.where: known
    for known in (
        RESOURCES,
        GPU,
        PIPELINE,
        NAME,
        TRANSFORM,
        SECRET,
        TASK,
        ARTIFACT_IN,
        ARTIFACT_OUT,
        PARALLELISM,
        DATUM_SET,
        SERVICE,
        SPOUT,
        INPUT,
        PFS,
        CRON,
        TRIGGER,
        PROPAGATION,
        EGRESS,
        OBJECT_STORAGE,
        EGRESS_SECRET,
        SQL_DATABASE,
        FILE_FORMAT,
        SQL_SECRET,
    )
}
"""All kinds of mappings by their name."""
