"""The S3 gateway of a job, as pipelines see it: who starts one, and what one attempt at a datum did through it.

Protocols only: what serves S3 is handed in from outside (`OpenGateway`), for pipelines know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pfs.files.ingest import FileRef
    from pfs.packs.session import WriteSession
    from pfs.trees.observed import Observed

REGION: Final = "us-east-1"
_FOREIGN: Final = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""Variables that would make a client use something else than the credentials of the datum."""
_FILES: Final = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}


@dataclass(frozen=True, slots=True)
class JobBuckets:
    """What a job's gateway serves: ``inputs`` are repo and commit by the name of the input; ``out``: the output too.

    ``spout``: the commit of a spout's code. Its gateway serves the whole store to read, and commits what is written to
    the output of the pipeline. ``reserved``: of a workflow's task, which writes to buckets of any name, the repos that
    it may not write to; None: it is no task.
    """

    pipeline: str
    inputs: Mapping[str, tuple[str, str]]
    out: bool
    spout: str = ""
    output_branch: str = "master"
    reserved: frozenset[str] | None = None


class Written(Protocol):
    """An object that was written; its key is relative to the bucket, that of a task's begins with the bucket."""

    @property
    def key(self) -> bytes:
        """Its key."""

    @property
    def ref(self) -> FileRef:
        """Its content."""

    @property
    def aux(self) -> Mapping[str, object] | None:
        """What is kept beside its bytes: ETag, type, metadata."""


class Traffic(Protocol):
    """What one attempt did: what it wrote, with the session that holds it; what it read of each input.

    ``reads`` has None for an input that was read in a way that cannot be compared with another commit.
    """

    @property
    def written(self) -> Sequence[Written]:
        """The objects of the output, by key."""

    @property
    def session(self) -> WriteSession | None:
        """What holds their bytes; None where nothing can be written."""

    @property
    def reads(self) -> Mapping[str, Observed | None]:
        """What was read, by input."""


class Admission(Protocol):
    """The credentials of one attempt at a datum."""

    @property
    def access_key(self) -> str:
        """The access key."""

    @property
    def secret_key(self) -> str:
        """The secret key."""

    def end(self) -> Traffic:
        """Take them back and return what the attempt did; once. The session belongs to the caller."""


class JobGateway(Protocol):
    """A gateway that listens. Thread-safe."""

    @property
    def url(self) -> str:
        """Where commands reach it."""

    def admit(self) -> Admission:
        """Make credentials for one attempt at a datum."""

    def close(self) -> None:
        """Stop listening; returns when nothing listens any more. Idempotent."""


OpenGateway = Callable[[JobBuckets], JobGateway]
"""Starts the gateway of a job; raises PfsError when that is not possible."""


def variables(gateway: JobGateway, admission: Admission, *, folder: str) -> dict[str, str]:
    """Return what tells S3 clients of a command where to go, and as whom; ``folder`` as `write_settings` made it."""
    found = {
        "S3_ENDPOINT": gateway.url,
        "AWS_ENDPOINT_URL": gateway.url,
        "AWS_ACCESS_KEY_ID": admission.access_key,
        "AWS_SECRET_ACCESS_KEY": admission.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return found | {variable: f"{folder}/{name}" for variable, name in _FILES.items()}


def own_way(found: Mapping[str, str], given: Collection[str]) -> dict[str, str]:
    """Return of what `variables` gives what is left for a command that is ``given`` variables of these names itself.

    One that names an endpoint or credentials goes its own way, to S3 elsewhere; ours is in S3_ENDPOINT still.
    """
    if not {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", *_FOREIGN, *_FILES}.isdisjoint(given):
        found = {"S3_ENDPOINT": found["S3_ENDPOINT"]}
    return {name: value for name, value in found.items() if name not in given}


def without_foreign(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what would lead S3 clients elsewhere."""
    return {name: value for name, value in env.items() if name not in _FOREIGN}


def write_settings(folder: Path) -> None:
    """Make the empty settings of the AWS clients; raises OSError."""
    folder.mkdir(exist_ok=True)
    for name in _FILES.values():
        (folder / name).write_bytes(b"")
