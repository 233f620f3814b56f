"""What writers and open commits do to the model; as `verbs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pfs.errors import (
    BranchMovedError,
    CommitClosedError,
    CommitNotFoundError,
    ConflictError,
    FileCollisionError,
    InvalidInputError,
    PathConflictError,
    PathNotFoundError,
)
from tests.pfs.machine.following import OUT, fire
from tests.pfs.machine.state import Commit, Files, Open, Refused, Repo, Trash, World, below, three_way, with_file
from tests.pfs.machine.verbs import Done, create_tag, nothing

ID_DIGITS = 32


class Step(NamedTuple):
    """One change of a commit: put, append, delete, delete_all, tree, mirror or copy."""

    verb: str
    path: str
    data: bytes = b""
    files: tuple[tuple[str, bytes], ...] = ()
    source: tuple[str, str, str] = ("", "", "")
    """Repo, commit and path."""


@dataclass
class Writer:
    """A commit being written, by one process or the other."""

    repo: str
    branch: str
    head: str | None
    base: Files
    ours: Files
    opened: str | None = None
    parent: str | None = None
    made_from: tuple[tuple[str, str], ...] = ()
    steps: list[Step] = field(default_factory=list)


def begin(world: World, name: str, branch: str, parent: str | None = None) -> Writer:
    """Return a writer; ``branch`` may be the id of an open commit."""
    repo = world.repo(name)
    if branch in repo.tags or (name == OUT and repo.open_on(branch) is None):
        raise Refused(ConflictError)
    opened = branch if branch in repo.opens else repo.open_on(branch)
    if opened is not None:
        entry = repo.opens[opened]
        return Writer(name, entry.branch, entry.onto, entry.files, entry.files, opened=opened)
    if len(branch) == ID_DIGITS:
        raise Refused(CommitClosedError if repo.means(branch) else CommitNotFoundError)
    if parent is not None:
        parent = base_of(repo, parent)
    base = repo.files(repo.branches.get(branch) if parent is None else parent)
    return Writer(name, branch, repo.branches.get(branch), base, base, parent=parent)


def base_of(repo: Repo, commit: str) -> str:
    """Return the parent of what starts from a commit: that one, or the nearest before it without an error."""
    if commit in repo.opens:
        raise Refused(ConflictError)
    for found in repo.chain(repo.find(commit).id):
        if not found.error:
            return found.id
    raise Refused(ConflictError)


def stage(world: World, writer: Writer, step: Step) -> None:
    """Put one change on a writer's files."""
    files = writer.ours
    match step.verb:
        case "put":
            _refuse_collision(files, step.path)
            files = with_file(files, step.path, step.data)
        case "append":
            _refuse_collision(files, step.path)
            files = with_file(files, step.path, files.get(step.path, b"") + step.data)
        case "delete":
            if step.path not in files:
                raise Refused(InvalidInputError if below(files, step.path) else PathNotFoundError)
            files = with_file(files, step.path, None)
        case "delete_all":
            gone = below(files, step.path)
            if not gone:
                raise Refused(PathNotFoundError)
            files = {path: data for path, data in files.items() if path not in gone}
        case "tree":
            files = {**files, **{step.path.rstrip("/") + name: data for name, data in step.files}}
        case "mirror":
            kept = {path: data for path, data in files.items() if path not in below(files, step.path)}
            files = {**kept, **{step.path.rstrip("/") + name: data for name, data in step.files}}
        case "copy":
            files = {**files, **_copied(world, step)}
    writer.ours = files
    writer.steps.append(step)


def _refuse_collision(files: Files, path: str) -> None:
    parts = path.split("/")[1:-1]
    above = ["/" + "/".join(parts[: depth + 1]) for depth in range(len(parts))]
    if below(files, path) or any(folder in files for folder in above):
        raise Refused(FileCollisionError)


def _copied(world: World, step: Step) -> Files:
    repo, commit, path = step.source
    files = world.repo(repo).files(commit)
    if path in files:
        return {step.path: files[path]}
    found = below(files, path)
    if not found:
        raise Refused(PathNotFoundError)
    return {step.path + name[len(path.rstrip("/")) :]: files[name] for name in found}


def finish_writer(world: World, writer: Writer) -> Done:
    """End a writer: its changes on what is there now."""
    repo = world.repo(writer.repo)
    if writer.opened is not None:
        return _finish_onto_open(repo, writer, writer.opened)
    head = repo.branches.get(writer.branch)
    if writer.branch in repo.tags:
        raise Refused(ConflictError)
    if writer.parent is not None and head != writer.head:
        raise Refused(BranchMovedError)
    files = writer.ours if writer.parent is not None else _carried(writer.base, writer.ours, repo.files(head))
    parent = head if writer.parent is None else writer.parent

    def done(id: object) -> None:
        add(world, repo, Commit(str(id), writer.branch, files, 0, parent, made_from=writer.made_from))

    return done


def apply(world: World, name: str, branch: str, puts: Files, deletes: Sequence[str]) -> Done:
    """Write as the S3 front does: on whatever is there, the last one wins."""
    repo = world.repo(name)
    opened = repo.open_on(branch)
    if opened is None and branch in repo.tags:
        raise Refused(ConflictError)
    kept = {path: data for path, data in repo.current(branch).items() if path not in deletes}
    files = {**kept, **puts}

    def done(id: object) -> None:
        if opened is not None:
            repo.opens[opened].files = files
        else:
            add(world, repo, Commit(str(id), branch, files, 0, repo.branches.get(branch)))

    return done


def transact(world: World, writes: Sequence[tuple[str, str, Files]], tag: tuple[str, str, str] | None) -> Done:
    """Put files into branches of several repos, all at once; and perhaps tag a commit of one of them."""
    dones = list[Done]()
    for name, branch, puts in writes:
        writer = begin(world, name, branch)
        for path, data in puts.items():
            stage(world, writer, Step("put", path, data))
        dones.append(finish_writer(world, writer))
    if tag is not None:
        dones.append(create_tag(world, *tag))
        if tag[1] in [branch for name, branch, _ in writes if name == tag[0]]:
            raise Refused(ConflictError)

    def done(id: object) -> None:
        for one in dones:
            one(id)

    return done


def _finish_onto_open(repo: Repo, writer: Writer, opened: str) -> Done:
    entry = repo.opens.get(opened)
    if entry is None:
        raise Refused(CommitClosedError)
    files = _carried(writer.base, writer.ours, entry.files)

    def done(_: object) -> None:
        entry.files, entry.written = files, True

    return done


def _carried(base: Files, ours: Files, onto: Files) -> Files:
    files, conflicts = three_way(base, onto, ours)
    if conflicts:
        raise Refused(PathConflictError)
    return files


def add(world: World, repo: Repo, commit: Commit) -> None:
    """Add a commit as the head of its branch; a head that it does not come from goes to the trash."""
    commit.order = world.next_order()
    old = repo.branches.get(commit.branch)
    repo.commits[commit.id] = commit
    repo.branches[commit.branch] = commit.id
    if old is not None and old not in commit.parents:
        repo.trash.append(Trash(commit.branch, "head", old, commit.id))
    fire(repo, commit.branch, commit.id)


def start(world: World, name: str, branch: str, parent: str | None) -> Done:
    repo = world.repo(name)
    if parent is not None:
        parent = base_of(repo, parent)
    if branch in repo.tags or repo.open_on(branch) is not None:
        raise Refused(ConflictError)

    def done(id: object) -> None:
        onto = repo.branches.setdefault(branch, None)
        above = onto if parent is None else parent
        files = repo.files(above)
        repo.opens[str(id)] = Open(branch, above, onto, files, files, world.next_order())

    return done


def find_open(repo: Repo, ref: str) -> str:
    """Return the open commit that a branch or an id names."""
    if ref in repo.branches:
        found = repo.open_on(ref)
        if found is None:
            raise Refused(CommitClosedError)
        return found
    if ref not in repo.opens:
        raise Refused(CommitClosedError if repo.means(ref) else CommitNotFoundError)
    return ref


def finish(world: World, name: str, ref: str, *, error: bool) -> Done:
    repo = world.repo(name)
    id = find_open(repo, ref)
    entry = repo.opens[id]
    head, files, parent = repo.branches.get(entry.branch), entry.files, entry.parent
    if head != entry.onto and entry.parent == entry.onto:
        files, parent = _carried(entry.base, entry.files, repo.files(head)), head
    elif head != entry.onto and not error:
        raise Refused(BranchMovedError)

    def done(_: object) -> None:
        del repo.opens[id]
        commit = Commit(id, entry.branch, files, world.next_order(), parent, (), error, entry.made_from)
        if error:
            repo.commits[id] = commit
            repo.failed.add(id)
        else:
            add(world, repo, commit)

    return done


def clear(world: World, name: str, ref: str) -> Done:
    repo = world.repo(name)
    entry = repo.opens[find_open(repo, ref)]

    def done(_: object) -> None:
        entry.files = entry.base

    return done


def drop_open(world: World, name: str, ref: str) -> Done:
    repo = world.repo(name)
    id = find_open(repo, ref)
    return lambda _: nothing(repo.opens.pop(id))
