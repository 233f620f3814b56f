"""A pipeline's spec as typed values; spec_parse.py makes them from JSON or YAML.

Values only: frozen, comparable, without positions or spellings. What they mean field by field is
docs/pipeline-spec.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from pfs.model import Trigger
from pps.spec.delivery import Levers
from pps.spec.task import Task

DEFAULT_TRIES = 3
DEFAULT_BRANCH = "master"


@dataclass(frozen=True, slots=True)
class SecretUse:
    """What a command is given of a secret: the value of ``key`` as variable ``env_var``, files below ``mount_path``.

    Without a ``key`` there is a file for each key of the secret.
    """

    name: str
    key: str = ""
    env_var: str = ""
    mount_path: str = ""


@dataclass(frozen=True, slots=True)
class Transform:
    """The command of a pipeline and what surrounds it.

    ``cmd`` is an argv, run without a shell; ``stdin`` are lines, fed with a newline after each. ``code``
    names further files or folders under the spec's folder that belong to the command. ``image`` and ``user``
    only count in a container. ``datum_batching``: the command is started once for the datums of a unit, and asks for
    one after the other (docs/design/batching.md). ``task``: it is a task of a workflow (docs/design/workflows.md).
    """

    cmd: tuple[str, ...]
    stdin: tuple[str, ...] = ()
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    accept_return_code: tuple[int, ...] = ()
    code: tuple[str, ...] = ()
    working_dir: str | None = None
    image: str | None = None
    user: str | None = None
    secrets: tuple[SecretUse, ...] = ()
    datum_batching: bool = False
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Cron:
    """When a repo gets a file: at each tick of ``schedule`` (`pfs.provenance.cron`) since ``start_ns``.

    ``start_ns`` None: since the repo was made. ``overwrite``: the file of the last tick is alone in the repo.
    ``backfill``: ticks that nobody was there for are all made up for, not only the last of them.
    """

    schedule: str
    overwrite: bool = False
    start_ns: int | None = None
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class PfsInput:
    """One datum for each file or directory of ``repo@branch`` that matches ``glob``.

    ``join_on`` and ``group_by`` say, with ``$1`` for the first parenthesis of the glob and so on, by which text its
    files are put together with others in a join or group around it; ``outer_join``: also those without a partner.
    ``never``: its commits make no jobs, but those of other inputs read the newest of them. ``trigger``: the branch is
    made for the pipeline, and follows another one of the repo.
    ``cron``: the repo is the pipeline's own, and gets a file at each tick. ``s3``: nothing is staged, the command reads
    it from the job's own S3 gateway. ``lazy``: files are named pipes that are filled when they are opened.
    """

    name: str
    repo: str
    branch: str = DEFAULT_BRANCH
    glob: str = "/"
    empty_files: bool = False
    reference: bool = False
    join_on: str = ""
    outer_join: bool = False
    group_by: str = ""
    cron: Cron | None = None
    s3: bool = False
    never: bool = False
    trigger: Trigger | None = None
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class CrossInput:
    """Every combination of one datum from each child; children are in the order of their names."""

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class UnionInput:
    """The datums of each child, one after the other; children are in the order of their names."""

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class JoinInput:
    """For each text of ``join_on`` that every child has, every combination of one file from each child.

    Of other texts only the children with ``outer_join`` count; children are in the order of their names.
    """

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class GroupInput:
    """One datum for each text of ``group_by``, of all files that have it; children are in the order of their names."""

    children: tuple[Input, ...]


Input = PfsInput | CrossInput | UnionInput | JoinInput | GroupInput


class Reprocess(StrEnum):
    """When a datum that is unchanged runs again."""

    UNTIL_SUCCESS = "until_success"
    EVERY_JOB = "every_job"


@dataclass(frozen=True, slots=True)
class DatumSet:
    """How datums are put together into units of work; 0 means not set."""

    number: int = 0
    size_bytes: int = 0
    per_worker: int = 0


ServiceType = Literal["NodePort", "ClusterIP", "LoadBalancer"]


@dataclass(frozen=True, slots=True)
class Service:
    """Where a long-running command is reached; a port is 0 where none was given.

    The command listens on ``internal_port`` of the loopback; ``external_port`` of ``ip`` leads there. ``type`` has a
    meaning on Kubernetes only.
    """

    internal_port: int = 0
    external_port: int = 0
    ip: str = ""
    type: ServiceType = "NodePort"

    @property
    def forwards(self) -> bool:
        """Whether another port leads to that of the command."""
        return bool(self.internal_port and self.external_port and self.external_port != self.internal_port)


@dataclass(frozen=True, slots=True)
class Egress:
    """Where the output of each job is sent to before it succeeds: a URL, with the name of a secret for it or none.

    ``url``: a template (`pps.spec.delivery`), but for what is of each file. ``path``: the part of the output that is
    sent, such as ``/report``, a directory or a file; all of it by default. ``levers``: how, and as what.
    """

    url: str
    secret: str = ""
    path: str = ""
    levers: Levers = field(default_factory=Levers)


@dataclass(frozen=True, slots=True)
class Resources:
    """So much of a machine, for each datum that runs; 0: nothing is said. ``cpu`` in processors, sizes in bytes."""

    cpu: float = 0.0
    memory: int = 0
    disk: int = 0
    gpus: int = 0
    gpu_type: str = ""

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return bool(self.cpu or self.memory or self.disk or self.gpus)


NOTHING = Resources()


@dataclass(frozen=True, slots=True)
class SqlEgress:
    """A database whose tables get the rows of the output's files before a job succeeds.

    ``format``: csv, json or parquet. ``columns``: those that are taken, which CSV files name in their first row; none:
    all of the table in its order, and CSV files have no such row. The password is ``key`` of ``secret``, if it is set.
    """

    url: str
    format: str = "csv"
    columns: tuple[str, ...] = ()
    secret: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """One pipeline as its author wants it. Times in seconds, sizes in bytes.

    ``s3_out``: the output is what the command writes to the job's own S3 gateway. ``egresses``: where it goes as well.
    ``requests`` must be free before a datum's command starts, and one that uses more than ``limits`` is killed.
    ``service``: the command runs on and is reached there. ``spout``: the command runs on without an input, which is
    then a union of nothing, and writes commits itself.
    ``notes`` has one line for each field that was accepted but has no effect here. ``source`` is the document
    as it was given, ``effective`` the same laid over defaults, both as JSON; they take no part in comparisons.
    """

    name: str
    transform: Transform
    input: Input
    description: str = ""
    output_branch: str = DEFAULT_BRANCH
    datum_tries: int = DEFAULT_TRIES
    datum_timeout_s: float | None = None
    job_timeout_s: float | None = None
    parallelism: int = 0
    datum_set: DatumSet = DatumSet()
    reprocess: Reprocess = Reprocess.UNTIL_SUCCESS
    salt: str = ""
    s3_out: bool = False
    egresses: tuple[Egress | SqlEgress, ...] = ()
    requests: Resources = NOTHING
    limits: Resources = NOTHING
    service: Service | None = None
    spout: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)
    source: str = field(default="", compare=False)
    effective: str = field(default="", compare=False)

    @property
    def asks(self) -> Resources:
        """What a datum's command is given: the requests, and the GPUs that Kubernetes has under limits."""
        return replace(self.requests, gpus=max(self.requests.gpus, self.limits.gpus))

    @property
    def runs_on(self) -> bool:
        """Whether the command is not for a datum, but runs until something takes its place: a service or a spout."""
        return self.spout or self.service is not None
