"""Every field of workflow files: the one table that the reader goes by, and that the JSON Schema is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pps.spec.known import KNOWN, LEVERS
from pps.spec.vocabulary import Field, Kind, Known

PARAM_TYPES: Final = ("string", "integer", "number", "boolean", "list")
ARTIFACT_TYPES: Final = ("file", "directory", "glob")
_SHOWN: Final = "pps schema --workflow"


def _known(where: str, read: Mapping[str, Field]) -> Known:
    return Known(where, read, shown_by=_SHOWN)


CREDENTIALS: Final[Mapping[str, Field]] = {
    "endpoint": LEVERS["endpoint"],
    "region": LEVERS["region"],
    "profile": LEVERS["profile"],
    "secret": Field(Kind.TEXT, "the name of the secret with endpoint and credentials"),
}
DELIVERY: Final[Mapping[str, Field]] = {
    **{name: field for name, field in LEVERS.items() if name not in {"content_type", "metadata"}},
    "secret": CREDENTIALS["secret"],
}
"""The levers of an output's delivery that are not of its files; they need ``s3``."""
OUTPUT: Final = _known(
    "output",
    {
        "name": Field(Kind.TEXT, "its name, and the directory of the task's output repo for it", required=True),
        "path": Field(Kind.TEXT, "where the command leaves it: relative to the working directory, or absolute"),
        "type": Field(Kind.TEXT, "default: file", choices=ARTIFACT_TYPES),
        "as": Field(Kind.TEXT, "its name below the directory of the output; with for_each the default is the item"),
        "optional": Field(Kind.FLAG, "it may be missing"),
        "if_missing": Field(Kind.TEXT, "what becomes of a task that did not make it", choices=("fail", "warn")),
        "content_type": Field(Kind.TEXT, "its media type; default: guessed from its name"),
        "metadata": Field(Kind.TEXT_MAP, "metadata of its files"),
        "keep": Field(Kind.CHILD, "how long it stays", of="keep"),
        "s3": Field(Kind.TEXT, "where it is delivered: s3://bucket/path or file:///path"),
        **DELIVERY,
    },
)
LEVER: Final = _known("delivery", LEVERS)
"""What `pps.spec.levers` reads of an output."""
INPUT: Final = _known(
    "task input",
    {
        "name": Field(Kind.TEXT, "its name; the output of a task that is called so is its source", required=True),
        "path": Field(Kind.TEXT, "where it is put; default: where the task that makes it has it"),
        "type": Field(Kind.TEXT, "file or directory; default: what its source is", choices=ARTIFACT_TYPES[:2]),
        "optional": Field(Kind.FLAG, "the task runs without it too"),
        "from": Field(Kind.OTHER, "{task: T, output: O}, or {{tasks.T.outputs.O}}"),
        "repo": Field(Kind.TEXT, "the repo that it is read from"),
        "branch": Field(Kind.TEXT, "its branch; default: master"),
        "glob": Field(Kind.TEXT, "what of the repo; default: all of it"),
        "uri": Field(Kind.TEXT, "s3://…, https://… or file:///…, imported before each run"),
        **CREDENTIALS,
    },
)
SOURCE: Final = _known(
    "from",
    {
        "task": Field(Kind.TEXT, "the task that makes it", required=True),
        "output": Field(Kind.TEXT, "which of its outputs; default: the one called as the input"),
    },
)
FOR_EACH: Final = _known(
    "for_each",
    {
        "input": Field(Kind.TEXT, "the input whose files the task runs for", required=True),
        "glob": Field(Kind.TEXT, "which of them; default: *"),
    },
)
_OF_TASKS: Final[Mapping[str, Field]] = {
    "env": Field(Kind.TEXT_MAP, "variables of the command"),
    "working_dir": Field(Kind.TEXT, "where the command starts; default: the copy of the workflow's folder"),
    "retries": Field(Kind.COUNT, "attempts after the first; default: 0"),
    "timeout": Field(Kind.SECONDS, "the limit of one attempt"),
    "resources": Field(Kind.CHILD, "what must be free before the command starts", of="resources"),
    "resource_limits": Field(Kind.CHILD, "a command that uses more of it is killed", of="resources"),
    "secrets": Field(Kind.CHILDREN, "secrets of the store that the command is given", of="secret"),
    "image": Field(Kind.TEXT, "the image, where commands run in containers"),
    "cache": Field(Kind.FLAG, "false: it runs in every run; default: true"),
    "code": Field(Kind.TEXTS, "the files and folders that belong to it; default: the whole folder of the workflow"),
}
TASK: Final = _known(
    "workflow task",
    {
        "name": Field(Kind.TEXT, "its name; <workflow>-<task> is its pipeline and repo", required=True),
        "description": Field(Kind.TEXT, "what it is for, for people"),
        "command": Field(Kind.OTHER, "a text for the shell, or a list of words", required=True),
        **_OF_TASKS,
        "inputs": Field(Kind.CHILDREN, "artifacts that are put in place before the command", of="task input"),
        "outputs": Field(Kind.CHILDREN, "artifacts that are taken when it has ended", of="output"),
        "when": Field(Kind.TEXT, "a condition; where it does not hold the task has no work"),
        "for_each": Field(Kind.OTHER, "a list, {{params.x}}, {{tasks.T.outputs.O}}, or {input: NAME, glob: …}"),
        "after": Field(Kind.TEXTS, "tasks that it comes after without reading them"),
    },
)
DEFAULTS: Final = _known(
    "defaults",
    {**_OF_TASKS, "outputs": Field(Kind.CHILD, "what outputs have that do not say it", of="output defaults")},
)
OUTPUT_DEFAULTS: Final = _known(
    "output defaults", {name: one for name, one in OUTPUT.read.items() if name not in {"name", "path", "type", "as"}}
)
PARAM: Final = _known(
    "param",
    {
        "type": Field(Kind.TEXT, "default: that of the default, else string", choices=PARAM_TYPES),
        "default": Field(Kind.OTHER, "its value where a run says nothing; without it a run must"),
        "description": Field(Kind.TEXT, "what it is for, for people"),
    },
)
KEEP: Final = _known(
    "keep",
    {
        "runs": Field(Kind.COUNT, "so many runs at least"),
        "days": Field(Kind.COUNT, "so many days at least"),
        "storage_class_after": Field(Kind.CHILD, "when it is moved to another storage class", of="storage_class_after"),
        "delivered": Field(Kind.TEXT, "what becomes of objects whose version expires", choices=("keep", "delete")),
    },
)
CLASS_AFTER: Final = _known(
    "storage_class_after",
    {
        "days": Field(Kind.COUNT, "after so many days", required=True),
        "class": Field(Kind.TEXT, "the storage class, such as GLACIER_IR", required=True),
    },
)
ON: Final = _known(
    "on",
    {
        "schedule": Field(Kind.TEXT, "runs at each tick: five cron fields in UTC, @daily and the like, or @every 1h"),
        "commits": Field(Kind.FLAG, "commits of the repos that it reads make jobs; default: true"),
    },
)
WORKFLOW: Final = _known(
    "workflow",
    {
        "version": Field(Kind.TEXT, "of this format: 1.0", choices=("1", "1.0")),
        "name": Field(Kind.TEXT, "its name; default: that of the file, without its suffix"),
        "description": Field(Kind.TEXT, "what it is for, for people"),
        "params": Field(Kind.OTHER, "what runs may be told: a default, or {type, default, description}, by name"),
        "env": Field(Kind.TEXT_MAP, "variables of all commands"),
        "defaults": Field(Kind.CHILD, "what tasks have that do not say it", of="defaults"),
        "keep": Field(Kind.CHILD, "how long artifacts stay", of="keep"),
        "on": Field(Kind.CHILD, "when it runs by itself, once it is installed", of="on"),
        "tasks": Field(Kind.CHILDREN, "the tasks", of="workflow task", required=True),
    },
)
TABLES: Final[Mapping[str, Known]] = {
    **KNOWN,
    **{
        known.where: known
        for known in (
            WORKFLOW,
            DEFAULTS,
            OUTPUT_DEFAULTS,
            KEEP,
            CLASS_AFTER,
            ON,
            PARAM,
            TASK,
            INPUT,
            SOURCE,
            OUTPUT,
            FOR_EACH,
            LEVER,
        )
    },
}
"""All kinds of mappings of workflow files by their name, with those of specs that they hold."""
