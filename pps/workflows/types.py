"""A workflow file as typed values: frozen, without spellings; what they mean field by field is docs/workflows.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pps.spec.node import Node, Place, Plain
from pps.spec.task import ArtifactType, Missing
from pps.spec.types import DEFAULT_BRANCH, NOTHING, Egress, Resources, SecretUse
from pps.workflows.when import Condition

ParamType = Literal["string", "integer", "number", "boolean", "list"]
Delivered = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True)
class Param:
    """What a run may be told. ``required``: there is no default."""

    name: str
    type: ParamType = "string"
    default: Plain = None
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long artifacts stay; 0 and empty: nothing is said. ``class_days``: after these, ``storage_class``.

    ``delivered``: whether objects that were delivered go with the artifacts; empty: nothing is said.
    """

    runs: int = 0
    days: int = 0
    class_days: int = 0
    storage_class: str = ""
    delivered: Delivered | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class FromTask:
    """An output of a task."""

    task: str
    output: str


@dataclass(frozen=True, slots=True)
class FromRepo:
    """What a repo has at a path: all of it, or what a glob matches where a task runs for each."""

    repo: str
    branch: str = DEFAULT_BRANCH
    glob: str = "/"


@dataclass(frozen=True, slots=True)
class FromUri:
    """What is at a place outside, imported before each run; as whom is said by a secret or a profile."""

    uri: str
    secret: str = ""
    endpoint: str = ""
    region: str = ""
    profile: str = ""


Source = FromTask | FromRepo | FromUri


@dataclass(frozen=True, slots=True)
class InputArtifact:
    """What a task is given. ``path``: a template, where it is put; empty: only below ``/pfs/<name>`` and over S3.

    ``type`` is empty while a file is read that does not say it, and ``any`` where each item is what it is.
    """

    name: str
    source: Source
    path: str = ""
    type: Literal["", "file", "directory", "any"] = ""
    optional: bool = False
    place: Place = field(default=Place("", 1, 1), compare=False)


@dataclass(frozen=True, slots=True)
class OutputArtifact:
    """What a task leaves. ``as_``: a template, where below ``/<name>/`` of its output it goes.

    ``s3``: where it is delivered; ``keep``: how long it stays.
    """

    name: str
    path: str
    type: ArtifactType = "file"
    as_: str = ""
    missing: Missing = "fail"
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    s3: Egress | None = None
    keep: Keep = Keep()
    place: Place = field(default=Place("", 1, 1), compare=False)


@dataclass(frozen=True, slots=True)
class ForEach:
    """What a task runs for: the values of a list, those of a param, or what ``glob`` matches in an input.

    ``source``: an output of a task, for which an input is made where none reads it; ``input``: one that is given.
    """

    items: tuple[Plain, ...] = ()
    param: str = ""
    source: FromTask | None = None
    input: str = ""
    glob: str = "*"
    place: Place = field(default=Place("", 1, 1), compare=False)

    @property
    def is_of_files(self) -> bool:
        """Whether an item is a file or directory of an input."""
        return bool(self.input) or self.source is not None


@dataclass(frozen=True, slots=True)
class TaskDef:
    """One task. ``command``: an argv of templates, or one text for the shell (``shell``). Times in seconds."""

    name: str
    command: tuple[str, ...]
    shell: bool = False
    description: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    inputs: tuple[InputArtifact, ...] = ()
    outputs: tuple[OutputArtifact, ...] = ()
    retries: int = 0
    timeout_s: float | None = None
    resources: Resources = NOTHING
    limits: Resources = NOTHING
    secrets: tuple[SecretUse, ...] = ()
    image: str = ""
    when: Condition | None = None
    for_each: ForEach | None = None
    after: tuple[str, ...] = ()
    cache: bool = True
    code: tuple[str, ...] | None = None
    place: Place = field(default=Place("", 1, 1), compare=False)

    def output(self, name: str) -> OutputArtifact | None:
        """Return the output of a name, if there is one."""
        return next((one for one in self.outputs if one.name == name), None)

    def input(self, name: str) -> InputArtifact | None:
        """Return the input of a name, if there is one."""
        return next((one for one in self.inputs if one.name == name), None)

    @property
    def sources(self) -> tuple[str, ...]:
        """The tasks that it comes after, each once: those whose outputs it reads, and those that ``after`` names."""
        read = [one.source.task for one in self.inputs if isinstance(one.source, FromTask)]
        return tuple(dict.fromkeys([*read, *self.after]))


@dataclass(frozen=True, slots=True)
class On:
    """When an installed workflow runs by itself: at each tick of ``schedule``, and for ``commits`` of its repos."""

    schedule: str = ""
    commits: bool = True


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file. ``tasks`` are in an order in which each comes after those it reads.

    ``text`` is the file as it was given, ``is_json`` what it is; they and places take no part in comparisons.
    """

    name: str
    tasks: tuple[TaskDef, ...]
    description: str = ""
    params: tuple[Param, ...] = ()
    keep: Keep = Keep()
    on: On = On()
    text: str = field(default="", compare=False)
    is_json: bool = field(default=False, compare=False)
    root: Node | None = field(default=None, compare=False, repr=False)

    def task(self, name: str) -> TaskDef:
        """Return a task by its name; KeyError if there is none."""
        for one in self.tasks:
            if one.name == name:
                return one
        raise KeyError(name)

    def pipeline(self, task: str) -> str:
        """Return the name of the pipeline, and so of the repo, of a task."""
        return f"{self.name}-{task}"

    def after(self, task: str) -> tuple[str, ...]:
        """Return a task and all that come after it, in order."""
        found = {task}
        for one in self.tasks:
            if found & set(one.sources):
                found.add(one.name)
        return tuple(one.name for one in self.tasks if one.name in found)
