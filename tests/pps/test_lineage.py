"""Lineage over what the real engine left behind: which datum made a file, of what, and what was made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.changes import replay
from pfs.changes.squash import drop, squash
from pfs.errors import CommitNotFoundError, ConflictError, PathNotFoundError
from pfs.ids import TreeId, chunk_id, new_commit_id
from pfs.lifecycle.purge import purge
from pfs.lifecycle.rewrite import Mirror
from pfs.model import BranchRef, NewCommit, Provenance
from pfs.provenance.bind import Binding, bind
from pfs.trees.edit import Put, edit
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT
from pps.lineage.lineage import Options
from pps.lineage.lineage import lineage as lineage_of
from pps.lineage.model import CommitNode, CommitRef, DatumNode, FileNode, FileRef, Lineage
from pps.model.records import META_BRANCH, OUT_DIR
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in

COPY = 'for f in "$PFS"/{0}/*; do cat "$f" > "$PFS_OUT/$(basename "$f")"; done\n'
DOWN, BOTH = Options("down"), Options("both")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


def ask(world: World, repo: str, path: str | None, ref: str = "master", *, options: Options | None = None) -> Lineage:
    return lineage_of(world.store, repo, ref, path, options=options)


def drawn(found: Lineage) -> list[tuple[str, str, str]]:
    """Return the edges with ids left out: files as repo:path, datums as their pipeline."""

    def name(ref: object) -> str:
        if isinstance(ref, FileRef):
            return f"{ref.repo}:{ref.path}"
        return ref.repo if isinstance(ref, CommitRef) else f"<{ref.pipeline}>"  # type: ignore[attr-defined]

    return sorted((name(one.source), one.how, name(one.target)) for one in found.edges)


def files(found: Lineage) -> dict[str, FileNode]:
    return {f"{n.ref.repo}:{n.ref.path}": n for n in found.nodes.values() if isinstance(n, FileNode)}


def datums(found: Lineage) -> list[DatumNode]:
    return [node for node in found.nodes.values() if isinstance(node, DatumNode)]


def test_a_file_of_a_chain_is_traced_to_what_a_user_put(world: World) -> None:
    first = world.put("images", {"/a": b"1", "/b": b"2"})
    world.code("copy.sh", COPY.format("upper"))
    world.create("upper", pfs_input("images"))
    world.create("copy", pfs_input("upper"), cmd=["sh", "copy.sh"])
    world.run()
    found = ask(world, "copy", "/a")
    assert drawn(found) == [
        ("<copy>", "wrote", "copy:/a"),
        ("<upper>", "wrote", "upper:/a"),
        ("images:/a", "read", "<upper>"),
        ("upper:/a", "read", "<copy>"),
    ]
    raw = files(found)["images:/a"]
    assert (raw.made, raw.since, raw.ref.commit) == ("user", None, first.id)
    for node in datums(found):
        (one,) = [one for one in world.jobs.datums(node.ref.pipeline, first.id) if one.id == node.ref.datum]
        version = world.pipelines.inspect(node.ref.pipeline)
        assert (node.state, node.ran_in, node.ref.job) == ("success", one.ran_in, first.id)
        assert (node.version, node.spec_commit, len(node.code)) == (1, version.spec_commit, 64)
    assert ask(world, "copy", "/a", options=Options(depth=1)).edges == found.edges[:2]


def test_down_finds_what_was_made_of_a_file(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2"})
    world.code("copy.sh", COPY.format("upper"))
    world.create("upper", pfs_input("images"))
    world.create("copy", pfs_input("upper", "/"), cmd=["sh", "copy.sh"])
    world.run()
    assert drawn(ask(world, "images", "/a", options=DOWN)) == [
        ("<copy>", "wrote", "copy:/a"),
        ("<copy>", "wrote", "copy:/b"),
        ("<upper>", "wrote", "upper:/a"),
        ("images:/a", "read", "<upper>"),
        ("upper:/a", "read", "<copy>"),
    ]
    assert len(datums(ask(world, "images", "/", options=DOWN))) == 3
    middle = ask(world, "upper", "/b", options=BOTH)
    assert {node.ref.pipeline for node in datums(middle)} == {"upper", "copy"}
    assert "images:/b" in files(middle)
    assert ask(world, "copy", "/a", options=DOWN).edges == ()


def test_a_diamond_meets_in_its_source(world: World) -> None:
    world.put("src", {"/x": b"1"})
    for side in ("left", "right"):
        world.code(f"{side}.sh", f'cat "$PFS"/src/x > "$PFS_OUT/{side}"\n')
        world.create(side, pfs_input("src"), cmd=["sh", f"{side}.sh"])
    world.code("both.sh", 'cat "$PFS"/left/left "$PFS"/right/right > "$PFS_OUT/both"\n')
    world.create("both", {"cross": [pfs_input("left"), pfs_input("right")]}, cmd=["sh", "both.sh"])
    world.run()
    found = ask(world, "both", "/both")
    assert drawn(found) == [
        ("<both>", "wrote", "both:/both"),
        ("<left>", "wrote", "left:/left"),
        ("<right>", "wrote", "right:/right"),
        ("left:/left", "read", "<both>"),
        ("right:/right", "read", "<both>"),
        ("src:/x", "read", "<left>"),
        ("src:/x", "read", "<right>"),
    ]
    assert len(found.nodes) == 7
    assert drawn(ask(world, "src", "/x", options=DOWN)) == drawn(found)


def test_a_join_and_a_group_name_all_files_of_the_datum(world: World) -> None:
    world.put("pics", {"/p1": b"1", "/p2": b"2"})
    world.put("labels", {"/l1": b"1", "/l2": b"2"})
    world.code("join.sh", 'cat "$PFS"/pics/* "$PFS"/labels/* > "$PFS_OUT/$(ls "$PFS"/pics)"\n')
    on = [pfs_input("pics", "/p(*)", join_on="$1"), pfs_input("labels", "/l(*)", join_on="$1")]
    world.create("joined", {"join": on}, cmd=["sh", "join.sh"])
    world.put("rows", {"/a-1": b"1", "/a-2": b"2", "/b-1": b"3"})
    world.code("group.sh", 'cat "$PFS"/rows/* > "$PFS_OUT/$(ls "$PFS"/rows | head -1)"\n')
    world.create("grouped", {"group": [pfs_input("rows", "/(*)-*", group_by="$1")]}, cmd=["sh", "group.sh"])
    world.run()
    reads = [edge for edge in drawn(ask(world, "joined", "/p2")) if edge[1] == "read"]
    assert reads == [("labels:/l2", "read", "<joined>"), ("pics:/p2", "read", "<joined>")]
    reads = [edge for edge in drawn(ask(world, "grouped", "/a-1")) if edge[1] == "read"]
    assert reads == [("rows:/a-1", "read", "<grouped>"), ("rows:/a-2", "read", "<grouped>")]
    bounded = ask(world, "grouped", "/a-1", options=Options(limit=1))
    assert [edge for edge in drawn(bounded) if edge[1] == "read"] == [("rows:/a-1", "read", "<grouped>")]
    assert [(str(one.ref).partition("@")[0], one.up, one.more) for one in bounded.left_out] == [("grouped", True, 1)]


def test_a_directory_that_was_read_is_opened(world: World) -> None:
    world.put("src", {"/d/a": b"1", "/d/b": b"2", "/e/c": b"3"})
    world.code("cat.sh", 'cat "$PFS"/src/*/* > "$PFS_OUT/$(ls "$PFS"/src)"\n')
    world.create("whole", pfs_input("src", "/*"), cmd=["sh", "cat.sh"])
    world.run()
    found = ask(world, "whole", "/d")
    assert ("src:/d", "read", "<whole>") in drawn(found)
    assert [edge for edge in drawn(found) if edge[1] == "holds"] == [
        ("src:/d/a", "holds", "src:/d"),
        ("src:/d/b", "holds", "src:/d"),
    ]
    bounded = ask(world, "whole", "/", options=Options(limit=1))
    assert {(str(one.ref).partition("@")[0], one.more) for one in bounded.left_out} == {("whole", 1), ("src", 1)}
    assert drawn(ask(world, "src", "/d/a", options=DOWN)) == [
        ("<whole>", "wrote", "whole:/d"),
        ("src:/d/a", "read", "<whole>"),
    ]


def test_symlinked_outputs_are_of_their_datum(world: World) -> None:
    world.put("src", {"/a": b"one", "/b": b"two"})
    world.code("link.sh", 'for f in "$PFS"/src/*; do ln -s "$f" "$PFS_OUT/linked-$(basename "$f")"; done\n')
    world.create("links", pfs_input("src"), cmd=["sh", "link.sh"])
    world.run()
    assert drawn(ask(world, "links", "/linked-b")) == [
        ("<links>", "wrote", "links:/linked-b"),
        ("src:/b", "read", "<links>"),
    ]


def test_a_datum_that_was_taken_over_leads_to_the_job_that_ran_it(world: World) -> None:
    first = world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"))
    world.run()
    second = world.put("images", {"/b": b"2"})
    world.run()
    found = ask(world, "upper", "/a")
    (node,) = datums(found)
    assert (node.state, node.ref.job, node.ran_in) == ("skipped", second.id, first.id)
    assert files(found)["images:/a"].ref.commit == first.id, "what it read is what the job read that ran it"
    (fresh,) = datums(ask(world, "upper", "/b"))
    assert (fresh.state, fresh.ran_in) == ("success", second.id)
    raw = ask(world, "images", "/a")
    (only,) = raw.nodes.values()
    assert isinstance(only, FileNode)
    assert (only.made, only.since) == ("user", first.id)


def down_paths(world: World, repo: str, path: str, ref: str) -> set[str]:
    found = ask(world, repo, path, ref, options=DOWN)
    return {f"{n.ref.repo}@{n.ref.commit}:{n.ref.path}" for n in found.nodes.values() if isinstance(n, FileNode)} - {
        str(found.roots[0])
    }


def test_a_datum_that_was_taken_over_did_not_read_what_changed_in_a_reference(world: World) -> None:
    world.put("src", {"/f1": b"a"})
    one = world.put("ref", {"/r": b"1", "/same": b"s", "/d/x": b"1", "/d/y": b"y"})
    world.code("both.sh", 'cat "$PFS"/src/* "$PFS"/ref/r > "$PFS_OUT/$(ls "$PFS"/src)"\n')
    world.create("rf", {"cross": [pfs_input("src"), pfs_input("ref", "/", reference=True)]}, cmd=["sh", "both.sh"])
    first = world.run_one()
    two = world.put("ref", {"/r": b"2", "/d/x": b"2"})
    second = world.run_one()
    src = world.put("src", {"/f2": b"b"})
    third = world.run_one()
    assert (second.data_skipped, third.data_skipped, third.data_processed) == (1, 1, 1)
    assert world.output("rf") == {"/f1": b"a1", "/f2": b"b2"}
    assert down_paths(world, "ref", "/r", one.id) == {f"rf@{first.id}:/f1"}
    assert down_paths(world, "ref", "/r", two.id) == {f"rf@{third.id}:/f2"}
    assert src.id == third.id
    both = {f"rf@{second.id}:/f1", f"rf@{third.id}:/f1", f"rf@{third.id}:/f2"}
    assert down_paths(world, "ref", "/same", two.id) == both, "what is the same did feed it"
    assert down_paths(world, "ref", "/d", two.id) == both
    assert down_paths(world, "ref", "/d/x", two.id) == {f"rf@{third.id}:/f2"}
    assert down_paths(world, "ref", "/", two.id) == both
    assert down_paths(world, "src", "/f1", src.id) == {f"rf@{third.id}:/f1"}


def test_what_a_datum_that_was_taken_over_read_over_s3_is_compared_too(world: World) -> None:
    world.put("images", {"/in/one": b"1", "/other/three": b"3"})
    world.code("s3.py", S3)
    world.create("overs3", {"pfs": {"repo": "images", "s3": True}}, cmd=[sys.executable, "s3.py"], s3_out=True)
    world.run_one()
    later = world.put("images", {"/other/three": b"4"})
    job = world.run_one()
    assert job.data_skipped == 1
    assert down_paths(world, "images", "/in/one", later.id) == {f"overs3@{job.id}:/made/one"}
    assert down_paths(world, "images", "/other/three", later.id) == set()


def test_a_changed_script_is_another_version_and_code(world: World) -> None:
    world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"))
    world.run()
    (old,) = datums(ask(world, "upper", "/a"))
    world.code("run.sh", UPPER + "true\n")
    world.run()
    (new,) = datums(ask(world, "upper", "/a"))
    assert (old.version, new.version) == (1, 2)
    assert old.code != new.code


def test_a_failed_job_leaves_what_succeeded_and_says_what_failed(world: World) -> None:
    world.put("src", {"/good": b"1", "/bad": b"2"})
    world.code("some.sh", 'test ! -e "$PFS"/src/bad && cp "$PFS"/src/* "$PFS_OUT"\n')
    world.create("some", pfs_input("src"), cmd=["sh", "some.sh"], datum_tries=1)
    job = world.run_one()
    assert job.state == "failure"
    assert ("src:/good", "read", "<some>") in drawn(ask(world, "some", "/good", job.id))
    (failed,) = datums(ask(world, "src", "/bad", options=DOWN))
    assert failed.state == "failed"
    assert "exit" in failed.note
    whole = ask(world, "some", None, job.id)
    node = whole.nodes[whole.roots[0]]
    assert isinstance(node, CommitNode)
    assert (node.state, node.job_state, node.pipeline, node.version) == ("failed", "failure", "some", 1)


def test_a_file_that_a_job_did_not_touch_is_of_the_job_before(world: World) -> None:
    world.put("src", {"/a": b"1"})
    world.code("some.sh", 'test ! -e "$PFS"/src/stop && cp "$PFS"/src/* "$PFS_OUT"\n')
    world.create("some", pfs_input("src"), cmd=["sh", "some.sh"], datum_tries=1)
    first = world.run_one()
    world.put("src", {"/stop": b""})
    failed = world.run_one()
    assert failed.state == "failure"
    (node,) = datums(ask(world, "some", "/a", failed.id))
    assert node.ran_in == first.id


def test_commits_are_traced_without_a_path(world: World) -> None:
    first = world.put("images", {"/a": b"1"})
    world.code("copy.sh", COPY.format("upper"))
    world.create("upper", pfs_input("images"))
    world.create("copy", pfs_input("upper"), cmd=["sh", "copy.sh"])
    world.run()
    up = ask(world, "copy", None)
    assert drawn(up) == [("images", "made-from", "upper"), ("upper", "made-from", "copy")]
    assert drawn(ask(world, "images", None, first.id, options=DOWN)) == drawn(up)
    node = up.nodes[CommitRef("upper", first.id)]
    assert isinstance(node, CommitNode)
    assert (node.state, node.pipeline, node.version, len(node.code)) == ("finished", "upper", 1, 64)


def test_what_is_gone_is_said(world: World) -> None:
    first = world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"))
    world.run()
    world.put("images", {"/b": b"2"})
    world.run()
    squash(world.store, "upper", first.id)
    squash(world.store, "images", first.id)
    found = ask(world, "upper", "/a")
    raw = files(found)["images:/a"]
    assert raw.made == "user"
    assert "was squashed into" in raw.note
    world.store.delete_repo("images", force=True)
    assert files(ask(world, "upper", "/a"))["images:/a"].type == "gone"
    assert "deleted" in files(ask(world, "upper", "/a"))["images:/a"].note
    world.pipelines.delete("upper", keep_repo=True)
    (left,) = [node for node in ask(world, "upper", "/b").nodes.values() if isinstance(node, FileNode)]
    assert left.made == "commit"


def test_dropped_and_purged(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2"})
    world.create("upper", pfs_input("images"))
    world.run()
    purge(world.store, "images", "/a", mirrors=(Mirror(META_BRANCH, OUT_DIR),))
    found = ask(world, "upper", "/a")
    assert files(found)["images:/a"].type == "removed"
    extra = world.put("plain", {"/x": b"1"})
    world.put("plain", {"/y": b"1"})
    last = world.store.repo("plain").inspect("master")
    drop(world.store, "plain", last.id)
    with pytest.raises(CommitNotFoundError):
        ask(world, "plain", "/y", last.id)
    assert files(ask(world, "plain", "/x"))["plain:/x"].ref.commit == extra.id


def test_a_branch_that_is_filled_by_hand_leads_to_the_commits_it_was_made_from(world: World) -> None:
    world.put("raw", {"/a": b"1"})
    world.store.create_repo("notes")
    bind(world.store, "notes", {"master": Binding((BranchRef("raw", "master"),))})
    with world.store.repo("notes").commit("master") as commit:
        commit.put_file("/said", b"good")
    with pytest.raises(ConflictError):
        ask(world, "notes", None, str(world.store.repo("notes").branch("master").open_commit))
    world.store.repo("notes").finish_commit("master")
    found = ask(world, "notes", "/said")
    assert drawn(found) == [("raw", "made-from", "notes:/said")]
    assert drawn(ask(world, "raw", "/a", options=DOWN)) == [("raw:/a", "made-from", "notes")]


S3 = """import boto3
s3 = boto3.client("s3")
listed = s3.list_objects_v2(Bucket="images", Prefix="in/")["Contents"]
body = s3.get_object(Bucket="images", Key="in/one")["Body"].read()
s3.put_object(Bucket="out", Key="made/one", Body=body)
"""


def test_over_s3_the_keys_that_were_looked_up_are_named(world: World) -> None:
    world.put("images", {"/in/one": b"1", "/in/two": b"2", "/other/three": b"3"})
    world.code("s3.py", S3)
    given = {"pfs": {"repo": "images", "s3": True}}
    world.create("overs3", given, cmd=[sys.executable, "s3.py"], s3_out=True)
    assert world.run_one().state == "success"
    found = ask(world, "overs3", "/made/one")
    assert drawn(found) == [
        ("<overs3>", "wrote", "overs3:/made/one"),
        ("images:/in", "listed", "<overs3>"),
        ("images:/in/one", "looked-up", "<overs3>"),
    ]
    hows = {path: drawn(ask(world, "images", path, options=DOWN)) for path in ("/in/one", "/in/two", "/other/three")}
    assert hows["/in/one"][1] == ("images:/in/one", "looked-up", "<overs3>")
    assert hows["/in/two"][1] == ("images:/in/two", "listed", "<overs3>")
    assert hows["/other/three"] == []


def test_many_files_a_datum_are_found_on_pages_of_their_own(world: World) -> None:
    world.put("src", {f"/{name}": name.encode() for name in "abcd"})
    lines = (
        'n=$(ls "$PFS"/src); mkdir -p "$PFS_OUT/$n/sub"; for i in $(seq 60); do echo $i > "$PFS_OUT/$n/sub/$i"; done\n'
    )
    world.code("many.sh", lines + 'echo 1 > "$PFS_OUT/top-$n"\n')
    world.create("many", pfs_input("src"), cmd=["sh", "many.sh"])
    world.run()
    for path in ("/c/sub/60", "/top-c"):
        assert [edge for edge in drawn(ask(world, "many", path)) if edge[1] == "read"] == [("src:/c", "read", "<many>")]
    assert len(datums(ask(world, "many", "/", options=Options(limit=1000)))) == 4
    down = ask(world, "src", "/a", options=Options("down", limit=10))
    assert [one.more for one in down.left_out] == [51]


def test_a_path_that_is_not_there(world: World) -> None:
    world.put("images", {"/a": b"1"})
    with pytest.raises(PathNotFoundError):
        ask(world, "images", "/none")


def test_a_merge_keeps_what_each_side_put(world: World) -> None:
    base = world.put("src", {"/a": b"1"})
    world.store.repo("src").create_branch("dev", head=base.id)
    side = world.put("src", {"/b": b"2"}, branch="dev")
    own = world.put("src", {"/c": b"3"})
    replay.merge(world.store, "src", "dev", "master")
    sinces = {path: files(ask(world, "src", path))[f"src:{path}"].since for path in ("/a", "/b", "/c")}
    assert sinces == {"/a": base.id, "/b": side.id, "/c": own.id}
    world.put("src", {"/a": b"changed"})
    undone = replay.revert(world.store, "src", "master")
    again = files(ask(world, "src", "/a"))["src:/a"]
    assert (again.made, again.since) == ("user", None)
    assert again.note == undone.message


def test_a_commit_that_no_job_read_says_so_and_where_its_content_was_read(world: World) -> None:
    base = world.put("images", {"/a": b"1"})
    world.create("upper", pfs_input("images"))
    world.run()
    world.store.repo("images").create_branch("dev", head=base.id)
    side = world.put("images", {"/b": b"2"}, branch="dev")
    world.put("images", {"/c": b"3"})
    replay.merge(world.store, "images", "dev", "master")
    world.run()
    unread = ask(world, "images", "/b", side.id, options=DOWN)
    assert unread.edges == ()
    (node,) = unread.nodes.values()
    assert isinstance(node, FileNode)
    assert node.note == "no job read this very commit: ask for images@master, where the same content is"
    assert ("images:/b", "read", "<upper>") in drawn(ask(world, "images", "/b", options=DOWN))
    read = files(ask(world, "images", "/a", base.id, options=DOWN))["images:/a"]
    assert "no job" not in read.note
    world.put("images", {"/z": b"1"}, branch="dev")
    assert files(ask(world, "images", "/z", "dev", options=DOWN))["images:/z"].note == "no job read this very commit"


def test_a_commit_that_a_pipeline_made_without_datums(world: World) -> None:
    world.put("images", {"/a": b"1"})
    info = world.create("upper", pfs_input("images"))
    assert info.spec_commit is not None
    session = world.store.session()
    session.put_chunks([(chunk_id(b"1"), b"1")])
    row = Put(b"a", Kind.FILE, 1, TreeId(chunk_id(b"1")))
    root = edit(session, EMPTY_ROOT, [row], changed=None)
    sources = (Provenance("upper", ".spec", info.spec_commit),)
    new = NewCommit(branch="master", root=root, id=new_commit_id(), started_ns=1, provenance=sources, origin="auto")
    world.store.repo("upper").publish([new], session)
    made = files(ask(world, "upper", "/a", new.id))["upper:/a"]
    assert (made.made, made.note) == ("commit", "made by version 1 of pipeline upper, not by a datum")
    node = ask(world, "upper", None, new.id).nodes[CommitRef("upper", new.id)]
    assert isinstance(node, CommitNode)
    assert (node.pipeline, node.version, node.job_state) == ("upper", 1, None)
