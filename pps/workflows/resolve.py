"""What names in a workflow file mean: sources of inputs, references, the order of tasks; what means nothing is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, count
from typing import Literal

from pfs.errors import InvalidInputError
from pfs.glob import Glob
from pps.spec.artifact_path import fixed_folder
from pps.spec.template import parse_template
from pps.workflows.item_places import check_items
from pps.workflows.names import is_reserved
from pps.workflows.order import ordered
from pps.workflows.parse_input import BY_NAME, NONE
from pps.workflows.reading import Reading, listed, nearest
from pps.workflows.references import check_references, missing_output
from pps.workflows.types import ForEach, FromRepo, FromTask, FromUri, InputArtifact, OutputArtifact, TaskDef, Workflow

_ITEMS = "has a place for each item"


def resolve(workflow: Workflow, reading: Reading) -> Workflow:
    """Return a workflow whose inputs all have their source, type and path, and whose tasks are in order.

    What is wrong goes to the findings; the result is of use only where nothing is.
    """
    tasks = {task.name: task for task in workflow.tasks}
    check_references(workflow, reading)
    found = [_Resolver(task, tasks, reading).resolved() for task in workflow.tasks]
    return replace(workflow, tasks=ordered(found, reading))


class _Resolver:
    """Resolves one task among ``tasks``."""

    def __init__(self, task: TaskDef, tasks: Mapping[str, TaskDef], reading: Reading) -> None:
        self._task, self._tasks, self._reading = task, tasks, reading
        self._named = [
            FromTask(reference.names[1], reference.names[3])
            for use in reading.uses
            if use.task == task.name
            for reference in use.references
            if reference.names[0] == "tasks" and len(reference.names) >= 4
        ]

    def resolved(self) -> TaskDef:
        self._check_after()
        inputs = [replace(one, source=self._source(one)) for one in self._task.inputs]
        inputs += self._implied(inputs)
        for_each = self._for_each(inputs)
        return replace(self._task, inputs=tuple(self._complete(one, for_each) for one in inputs), for_each=for_each)

    def _wrong(self, one: InputArtifact, message: str) -> None:
        self._reading.wrong(one.place, f"the input {one.name!r} of task {self._task.name!r} {message}")

    def _check_after(self) -> None:
        others = [name for name in self._tasks if name != self._task.name]
        for name in self._task.after:
            if name == self._task.name:
                self._reading.wrong(self._task.place, f"task {name!r} comes after itself")
            elif name not in others:
                what = f"task {self._task.name!r} comes after {name!r}, which is no other task"
                self._reading.wrong(
                    self._task.place, f"{what}: {nearest(name, others, otherwise=listed(others, none='there is none'))}"
                )

    def _source(self, one: InputArtifact) -> FromTask | FromRepo | FromUri:
        if not isinstance(one.source, FromTask) or one.source == NONE:
            return one.source
        if one.source.task == BY_NAME:
            return self._by_name(one, one.source.output)
        problem = missing_output(one.source, self._tasks, of=self._task.name)
        if problem:
            self._wrong(one, f"has no source: {problem}")
        return one.source

    def _by_name(self, one: InputArtifact, output: str) -> FromTask:
        makers = [name for name, task in self._tasks.items() if task.output(output) and name != self._task.name]
        named = [name for name in makers if FromTask(name, output) in self._named]
        chosen = makers if len(makers) == 1 else named
        if len(chosen) == 1:
            return FromTask(chosen[0], output)
        if makers:
            both = " and ".join(f"{{task: {name}}}" for name in makers)
            self._wrong(one, f"has several tasks with an output of its name: say which with from: {both}")
        else:
            outputs = {found.name for task in self._tasks.values() for found in task.outputs}
            advice = nearest(output, outputs, otherwise="give it 'from', 'repo' or 'uri'")
            self._wrong(one, f"has no source: no other task has an output of its name; {advice}")
        return FromTask(BY_NAME, output)

    def _implied(self, inputs: list[InputArtifact]) -> list[InputArtifact]:
        """Return inputs for the artifacts that are named and not among the inputs: they are put where they were."""
        read = {one.source for one in inputs}
        found: dict[FromTask, InputArtifact] = {}
        names = {one.name for one in inputs}
        for source in self._named:
            if source in read or source in found or missing_output(source, self._tasks, of=self._task.name):
                continue
            wanted = chain((source.output, f"{source.task}-{source.output}"), (f"from-{one}" for one in count(1)))
            name = next(one for one in wanted if one not in names and not is_reserved(one))
            names.add(name)
            found[source] = InputArtifact(name, source, place=self._task.place)
        return list(found.values())

    def _for_each(self, inputs: list[InputArtifact]) -> ForEach | None:
        """Return what the task runs for, with the input whose files that are."""
        each = self._task.for_each
        if each is None:
            return None
        self._check_items(each)
        if each.source is not None:
            name = next((one.name for one in inputs if one.source == each.source), "")
            return replace(each, input=name)
        if each.input and each.input not in {one.name for one in inputs}:
            advice = nearest(each.input, [one.name for one in inputs], otherwise="it has none of that name")
            self._reading.wrong(
                each.place, f"for_each of task {self._task.name!r} needs an input {each.input!r}: {advice}"
            )
        return each

    def _check_items(self, each: ForEach) -> None:
        """Tell of items that stand in the file and are not apart; a condition may leave some of them out."""
        try:
            if self._task.when is None:
                check_items(self._task, each.items)
        except InvalidInputError as error:
            self._reading.wrong(each.place, str(error))

    def _complete(self, one: InputArtifact, each: ForEach | None) -> InputArtifact:
        """Return an input with its type and path, where the file does not say them."""
        is_each = each is not None and each.is_of_files and each.input == one.name
        if is_each and one.path.endswith("/"):
            one = replace(one, path=f"{one.path}{{{{item}}}}")
        if isinstance(one.source, FromTask):
            maker = self._tasks.get(one.source.task)
            output = None if maker is None else maker.output(one.source.output)
            return one if maker is None or output is None else self._from_task(one, maker, output, is_each=is_each)
        if isinstance(one.source, FromRepo) and not is_each:
            self._check_glob(one, one.source.glob)
        if isinstance(one.source, FromRepo) and is_each and one.source.glob != "/":
            self._wrong(one, "has a 'glob', and for_each has one too: give that of for_each alone")
        kind: Literal["file", "directory", "any"] = "file" if _is_file(one.source) else "directory"
        return replace(one, type=one.type or ("any" if is_each else kind))

    def _check_glob(self, one: InputArtifact, glob: str) -> None:
        try:
            if Glob(glob).literal_prefix != glob:
                self._wrong(one, f"has the glob {glob!r}, which may match several: run for each with for_each")
        except InvalidInputError as error:
            self._wrong(one, f"has a wrong glob: {error}")

    def _from_task(self, one: InputArtifact, maker: TaskDef, output: OutputArtifact, *, is_each: bool) -> InputArtifact:
        several = maker.for_each is not None
        # Only the match says what an item is: a directory may have files and directories.
        natural: Literal["file", "directory", "any"] = "any" if is_each else "file"
        if not is_each and (several or output.type != "file"):
            natural = "directory"
        if one.type == "file" and natural == "directory":
            why = "is made for each item" if several else f"is a {output.type}"
            self._wrong(one, f"is a file, but output {output.name!r} of task {maker.name!r} {why}: it is a directory")
        if is_each and output.type == "file" and not several:
            self._wrong(one, "is one file: for_each needs a directory, a glob, or what is made for each item")
        return replace(one, type=one.type or natural, path=one.path or self._path(one, maker, output, is_each=is_each))

    def _path(self, one: InputArtifact, maker: TaskDef, output: OutputArtifact, *, is_each: bool) -> str:
        """Return where an artifact is put if nothing is said of it: where it was made."""
        path = fixed_folder(output.path) if output.type == "glob" else output.path
        path = parse_template(path).settle(lambda one: maker.name if one.names == ("task", "name") else None)
        if any(reference.names[0] == "item" for reference in parse_template(path).references):
            self._wrong(one, f"needs a 'path': that of output {output.name!r} of task {maker.name!r} {_ITEMS}")
        if maker.for_each is not None and output.type == "file":
            # Each item's file is in a directory of its own, which is not called like the file.
            self._wrong(one, f"needs a 'path': output {output.name!r} of task {maker.name!r} {_ITEMS}")
        return f"{path.rstrip('/')}/{{{{item}}}}" if is_each else path or "."


def _is_file(source: object) -> bool:
    """Say whether a source outside is one file, by how it is written."""
    return isinstance(source, FromUri) and not source.uri.endswith("/")
