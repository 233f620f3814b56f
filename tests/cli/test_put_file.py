"""put-file with all that it takes: lists, mirrors, links, metadata, several sources."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from pfs.shorten import quoted
from tests.cli.conftest import Run
from tests.cli.processes import environment, run


def files(pfs: Run, address: str = "r@master") -> dict[str, str]:
    records: Any = pfs("list-file", address, "-r", "--json").json
    paths = [record["path"] for record in records if record["type"] != "directory"]
    return {path: pfs("get-file", f"{address}:{path}").out for path in paths}


def write(names: dict[str, str]) -> None:
    for name, text in names.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def commits(pfs: Run) -> int:
    records: Any = pfs("list-commit", "r", "--json").json
    return len(records)


# mirrors


def test_mirror_deletes_what_is_extra_and_leaves_the_rest_of_the_repo(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "in/d/b": "2", "in/gone/deep/c": "3", "other": "4"})
    pfs("put-file", "r@master:/data", "-r", "-f", "in")
    pfs("put-file", "r@master", "-f", "other")
    before: Any = pfs("inspect-file", "r@master:/data/a", "--json").json
    write({"in/d/b": "2b", "in/new": "5"})
    Path("in/gone/deep/c").unlink()
    record: Any = pfs("put-file", "r@master:/data", "-r", "-f", "in", "--delete-extra", "--json").json
    assert (record["changed"], record["file_count"], record["size_bytes"], record["deleted_count"]) == (True, 3, 4, 1)
    assert files(pfs) == {"/data/a": "1", "/data/d/b": "2b", "/data/new": "5", "/other": "4"}
    assert pfs("inspect-file", "r@master:/data/a", "--json").json == before, "an unchanged file keeps its commit"
    changes: Any = pfs("diff-file", "r@master", "--json").json
    assert {change["path"]: change["change"] for change in changes} == {
        "/data/d/b": "modified", "/data/gone/deep/c": "deleted", "/data/new": "added",
    }  # fmt: skip


def test_mirror_without_changes_makes_no_commit_and_says_so(store: Path, pfs: Run) -> None:
    write({"in/a": "1"})
    first = pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra").out
    again = pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra")
    assert again.out == first
    assert again.err == "note: nothing changed, so no commit was made\n"
    assert commits(pfs) == 1
    assert pfs("put-file", "r@master", "-r", "-f", "in").out != first, "a plain put always makes its commit"


def test_mirror_of_an_empty_folder_empties_the_path_alone(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "keep": "2"})
    Path("empty").mkdir()
    pfs("put-file", "r@master:/data", "-r", "-f", "in")
    pfs("put-file", "r@master", "-f", "keep")
    pfs("put-file", "r@master:/data/", "-r", "-f", "empty", "--delete-extra")
    assert files(pfs) == {"/keep": "2"}
    new = pfs("put-file", "r@fresh", "-r", "-f", "empty", "--delete-extra").out.strip()
    record: Any = pfs("inspect-commit", "r@fresh", "--json").json
    assert (record["id"], record["file_count"]) == (new, 0)


def test_mirror_of_several_sources_is_their_union(store: Path, pfs: Run) -> None:
    write({"one/a": "1", "two/b": "2", "three": "3", "four": "4", "list": "four\n"})
    pfs("put-file", "r@master:/", "-r", "-f", "one")
    pfs("put-file", "r@master:/old", "-f", "three")
    pfs("put-file", "r@master", "-r", "-f", "one", "-f", "two", "-f", "three", "-i", "list", "--delete-extra")
    assert files(pfs) == {"/a": "1", "/b": "2", "/three": "3", "/four": "4"}


def test_mirror_puts_files_for_directories_and_directories_for_files(store: Path, pfs: Run) -> None:
    write({"in/x/deep/1": "1", "in/y": "2"})
    pfs("put-file", "r@master", "-r", "-f", "in")
    Path("in/x/deep/1").unlink()
    Path("in/x/deep").rmdir()
    Path("in/x").rmdir()
    Path("in/y").unlink()
    write({"in/x": "file now", "in/y/below": "folder now"})
    assert "file or a directory" in pfs("put-file", "r@master", "-r", "-f", "in", code=4).err
    pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra")
    assert files(pfs) == {"/x": "file now", "/y/below": "folder now"}


def test_mirror_in_an_open_commit_goes_by_what_that_holds(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "b": "2"})
    commit = pfs("start-commit", "r@master").out
    pfs("put-file", "r@master", "-f", "b")
    assert pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra").out == commit
    assert pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra").out == commit
    pfs("finish-commit", "r@master")
    assert files(pfs) == {"/a": "1"}


def test_mirror_in_a_transaction(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "b": "2"})
    pfs("put-file", "r@master", "-f", "b")
    pfs("start-transaction")
    for _ in range(2):
        pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra")
    assert files(pfs) == {"/b": "2"}
    pfs("finish-transaction")
    assert files(pfs) == {"/a": "1"}
    assert commits(pfs) == 2


def test_mirror_refusals(store: Path, pfs: Run) -> None:
    write({"a": "1"})
    assert "/x/ for the directory" in pfs("put-file", "r@master:/x", "-f", "a", "--delete-extra", code=2).err
    assert "--append" in pfs("put-file", "r@master:/x/", "-f", "a", "-a", "--delete-extra", code=2).err
    assert commits(pfs) == 0


def test_mirror_of_what_came_over_s3_changes_nothing_for_its_etag(store: Path, pfs: Run) -> None:
    from pfs.store import open as open_store

    with open_store(store) as opened, opened.repo("r").commit("master") as commit:
        ref = commit.put_file("/a", b"1")
        commit.put_ref(b"a", ref, aux={"e": "c4ca4238a0b923820dcc509a6f75849b", "m": "text/plain"})
    write({"in/a": "1"})
    assert "no commit" in pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra").err
    pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra", "--mime", "text/csv")
    record: Any = pfs("inspect-file", "r@master:/a", "--json").json
    assert record["mime"] == "text/csv"


# lists


def test_lists_by_line_by_nul_and_from_stdin(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"in/a": "1", "in/d/b": "2", "c c": "3", "new\nline": "4"})
    Path("list").write_text("in/a\r\n\nc c\nin/d\n")
    pfs("put-file", "r@master:/x", "-r", "-i", "list")
    assert files(pfs) == {"/x/a": "1", "/x/c c": "3", "/x/b": "2"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"in/a\0c c\0")))
    pfs("put-file", "r@null", "-0", "-i", "-")
    assert files(pfs, "r@null") == {"/a": "1", "/c c": "3"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"in/a\0new\nline\0")))
    assert "name 2 of stdin: invalid path" in pfs("put-file", "r@null", "--null", "-i", "-", code=2).err


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("missing", 3, "line 3 of list: 'missing' does not exist"),
        ("broken", 3, "line 3 of list: 'broken' is a link to a file that does not exist"),
        ("in", 2, "line 3 of list: 'in' is a directory"),
        ("-", 2, "line 3 of list: '-' means stdin only with -f"),
        ("b\udcff", 2, "line 3 of list: invalid path"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_committed(
    store: Path, pfs: Run, line: str, code: int, message: str
) -> None:
    write({"in/a": "1", "b": "2"})
    Path("broken").symlink_to("nothing")
    Path(os.fsdecode(b"b\xff")).write_bytes(b"odd")
    Path("list").write_bytes(os.fsencode(f"in/a\nb\n{line}\n"))
    assert message in pfs("put-file", "r@master", "-i", "list", code=code).err
    assert commits(pfs) == 0


def test_lists_that_are_none(store: Path, pfs: Run) -> None:
    assert "no list" in pfs("put-file", "r@master", "-i", "nowhere", code=3).err
    assert "is a directory" in pfs("put-file", "r@master", "-i", ".", code=2).err
    Path("binary").write_bytes(os.urandom(10).replace(b"\n", b"") + b"x" * 200_000)
    assert "is no list" in pfs("put-file", "r@master", "-i", "binary", code=2).err
    assert "nothing to put" in pfs("put-file", "r@master", code=2).err
    assert "once" in pfs("put-file", "r@master:/x", "-f", "-", "-i", "-", code=2).err
    assert "-i" in pfs("put-file", "r@master:/x", "-f", "binary", "-0", code=2).err


@pytest.mark.parametrize("words", [[], ["-f", "a"], ["-a"], ["--untar"]])
def test_named_pipes_are_read_once(store: Path, pfs: Run, words: list[str]) -> None:
    write({"a": "1", "in/pipe": "whole" * 50_000})
    text = Path("in/pipe").read_bytes()
    data = subprocess.run(["tar", "-c", "-C", "in", "."], check=True, capture_output=True).stdout
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data if "--untar" in words else text))
    writer.start()
    pfs("put-file", "r@master", "-f", "pipe", *words)
    writer.join()
    assert files(pfs)["/pipe"] == text.decode()


@pytest.mark.parametrize(
    "words", [["-f", "/dev/zero"], ["--untar", "-f", "/dev/zero"], ["-a", "-f", "/dev/zero"], ["-0", "-i", "/dev/zero"]]
)
def test_a_device_without_an_end_is_refused(store: Path, pfs: Run, words: list[str]) -> None:
    assert "/dev/zero is a device" in pfs("put-file", "r@master:/x", *words, code=2).err
    assert commits(pfs) == 0


def test_the_null_device_pipes_and_terminals_are_no_such_devices(store: Path) -> None:
    run(store, "pfs", "put-file", "r@master:/null", "-f", "/dev/null")
    for line in ("echo 1 | pfs put-file r@master:/stdin -f /dev/stdin", "pfs put-file r@master:/words -f <(echo 2)"):
        subprocess.run(["bash", "-c", line], cwd=store, env=environment(store), check=True, capture_output=True)
    master, terminal = pty.openpty()
    with os.fdopen(master, "wb", buffering=0) as keyboard, os.fdopen(terminal):
        keyboard.write(b"typed\n\x04")
        run(store, "pfs", "put-file", "r@master:/tty", "-f", os.ttyname(terminal))
    for path, text in {"/null": "", "/stdin": "1\n", "/words": "2\n", "/tty": "typed\n"}.items():
        assert run(store, "pfs", "get-file", f"r@master:{path}") == text


def test_a_long_list_is_one_commit(store: Path, pfs: Run) -> None:
    write({f"in/{number}": str(number) for number in range(2000)})
    Path("list").write_text("".join(f"in/{number}\n" for number in range(2000)))
    record: Any = pfs("put-file", "r@master", "-i", "list", "--json").json
    assert (record["file_count"], commits(pfs)) == (2000, 1)
    assert pfs("get-file", "r@master:/1999").out == "1999"


# several sources


def test_two_sources_for_one_path_are_refused_unless_they_are_the_same(store: Path, pfs: Run) -> None:
    write({"a/x": "1", "b/x": "2", "c/x": "1", "list": "a/x\nb/x\n"})
    for words in (
        ["-f", "a/x", "-f", "b/x"],
        ["-i", "list"],
        ["-r", "-f", "a", "-f", "b"],
        ["-r", "-f", "a", "-f", "b/x"],
    ):
        assert "two sources put /x" in pfs("put-file", "r@master", *words, code=2).err
    assert commits(pfs) == 0
    pfs("put-file", "r@master", "-f", "a/x", "-f", "c/x")
    assert files(pfs) == {"/x": "1"}


@pytest.mark.parametrize("order", [["a/x", "b/x"], ["b/x", "a/x"]])
def test_a_file_and_a_directory_of_one_put_collide(store: Path, pfs: Run, order: list[str]) -> None:
    write({"a/x": "1", "b/x/y": "2"})
    Path("b/x/y").rename("b/y")
    Path("b/x").rmdir()
    write({"b/x/y": "2"})
    words = [word for name in order for word in ("-f", name.partition("/")[0])]
    error = pfs("put-file", "r@master", "-r", *words, code=2).err
    assert "/x" in error
    assert "either a file or a directory" in error
    assert commits(pfs) == 0
    pfs("put-file", "r@master", "-f", "a/x")
    pfs("put-file", "r@master", "-r", "-f", "b", code=4)  # with what the commit holds it is a conflict


def test_names_in_any_script_and_names_that_are_none(store: Path, pfs: Run) -> None:
    names = {"in/日本/ñ.txt": "1", "in/🙂": "2", "in/ a b ": "3", "in/con:?*": "4", "in/עברית": "5", "in/n\u0303": "6"}
    write(names)
    pfs("put-file", "r@master", "-r", "-f", "in")
    assert files(pfs) == {name.removeprefix("in"): text for name, text in names.items()}
    (Path("in") / os.fsdecode(b"bad\xff")).write_bytes(b"x")
    error = pfs("put-file", "r@master", "-r", "-f", "in", code=2).err
    assert "bad" in error
    assert "not valid UTF-8" in error


# metadata and links


def test_mime_and_metadata_are_shown_and_kept_by_append(store: Path, pfs: Run) -> None:
    write({"in/a.csv": "1\n", "in/d/b.csv": "2\n"})
    said = ["--mime", "text/csv; charset=utf-8", "--metadata", "owner=Zoë", "--metadata", "eq=a=b"]
    pfs("put-file", "r@master", "-r", "-f", "in", *said)
    pfs("put-file", "r@master:/a.csv", "-a", "-f", "in/d/b.csv")
    for path in ("/a.csv", "/d/b.csv"):
        record: Any = pfs("inspect-file", f"r@master:{path}", "--json").json
        assert record["mime"] == "text/csv; charset=utf-8"
        assert record["metadata"] == {"owner": "Zoë", "eq": "a=b"}
    pfs("put-file", "r@master", "-r", "-f", "in")
    record = pfs("inspect-file", "r@master:/d/b.csv", "--json").json
    assert (record["mime"], record["metadata"]) == (None, {}), "a file that is replaced is a new one"


@pytest.mark.parametrize(
    "words",
    [["--mime", "csv"], ["--mime", "a/b\nc"], ["--metadata", "novalue"], ["--metadata", "=x"], ["--metadata", "a b=x"],
     ["--mime", ""], ["--metadata", "a=1", "--metadata", "a=1"],
     ["--metadata", "a=x\ny"], ["--metadata", "a=\udcff"], ["--metadata", f"a={'x' * 2048}"]],
)  # fmt: skip
def test_metadata_that_no_header_holds(store: Path, pfs: Run, words: list[str]) -> None:
    write({"a": "1"})
    pfs("put-file", "r@master", "-f", "a", *words, code=2)
    pfs("put-file", "r@master", "-f", "a", "-f", "a", *words, code=2)
    assert commits(pfs) == 0


def test_symlinks_option_holds_for_folders_and_named_files(store: Path, pfs: Run) -> None:
    write({"in/a": "1"})
    Path("in/link").symlink_to("a")
    pfs("put-file", "r@master", "-r", "-f", "in", "--symlinks", "keep", "--mime", "text/plain")
    record: Any = pfs("inspect-file", "r@master:/link", "--json").json
    assert (record["type"], record["mime"]) == ("symlink", None)
    assert files(pfs) == {"/a": "1", "/link": "a"}
    assert "cannot be appended" in pfs("put-file", "r@master:/link", "-a", "-f", "in/a", code=2).err
    pfs("put-file", "r@named", "-f", "in/link", "--symlinks", "keep")
    assert files(pfs, "r@named") == {"/link": "a"}
    pfs("put-file", "r@skipped", "-f", "in/link", "-f", "in/a", "--symlinks", "skip")
    assert files(pfs, "r@skipped") == {"/a": "1"}
    assert "symbolic link" in pfs("put-file", "r@master", "-f", "in/link", "--symlinks", "refuse", code=2).err
    pfs("get-file", "r@master:/", "-r", "-o", "out")
    assert os.readlink("out/link") == "a"


# archives


def test_untar_from_files_lists_and_stdin(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"in/a": "1", "in/d/b": "2", "more/c": "3"})
    subprocess.run(["tar", "-czf", "any.name", "-C", "in", "."], check=True)
    subprocess.run(["tar", "-cf", "more.tar", "-C", "more", "."], check=True)
    record: Any = pfs("put-file", "r@master:/x", "--untar", "-f", "any.name", "--metadata", "from=tar", "--json").json
    assert (record["file_count"], record["size_bytes"]) == (2, 2)
    assert files(pfs) == {"/x/a": "1", "/x/d/b": "2"}
    shown: Any = pfs("inspect-file", "r@master:/x/d/b", "--json").json
    assert shown["metadata"] == {"from": "tar"}
    Path("list").write_text("any.name\nmore.tar\n")
    pfs("put-file", "r@listed", "--untar", "-i", "list")
    assert files(pfs, "r@listed") == {"/a": "1", "/d/b": "2", "/c": "3"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("more.tar").read_bytes())))
    pfs("put-file", "r@listed", "--untar", "-f", "-", "--delete-extra")
    assert files(pfs, "r@listed") == {"/c": "3"}


def test_untar_that_fails_says_so_in_one_line_and_commits_nothing(store: Path, pfs: Run) -> None:
    write({"in/a": "1" * 100_000, "no.tar": "text"})
    subprocess.run(["tar", "-czf", "whole.tgz", "-C", "in", "."], check=True)
    Path("cut.tgz").write_bytes(Path("whole.tgz").read_bytes()[:-9])
    assert "cut.tgz: it is damaged or cut off" in pfs("put-file", "r@master", "--untar", "-f", "cut.tgz", code=2).err
    assert "no zip and no tar" in pfs("put-file", "r@master", "--untar", "-f", "whole.tgz", "-f", "no.tar", code=2).err
    assert "takes archives" in pfs("put-file", "r@master", "--untar", "-r", "-f", "in", code=2).err
    assert "appended" in pfs("put-file", "r@master", "--untar", "-a", "-f", "whole.tgz", code=2).err
    assert commits(pfs) == 0


def test_an_archive_that_collides_with_itself_is_wrong_input(store: Path, pfs: Run) -> None:
    write({"one/a": "1", "two/a/b": "2"})
    subprocess.run(["tar", "-cf", "x.tar", "-C", "one", "a", "-C", "../two", "a/b"], check=True)
    error = pfs("put-file", "r@master", "--untar", "-f", "x.tar", code=2).err
    assert error.startswith("pfs: cannot unpack x.tar: it puts both /a")
    assert commits(pfs) == 0


def test_untar_tells_what_it_passed_over(store: Path, pfs: Run) -> None:
    write({"in/a": "1"})
    os.mkfifo("in/pipe")
    subprocess.run(["tar", "-cf", "x.tar", "-C", "in", "."], check=True)
    assert pfs("put-file", "r@master", "--untar", "-f", "x.tar").err == (
        "note: x.tar: passed over a device or pipe: pipe\n"
    )


def test_a_put_of_folders_tells_what_it_passed_over(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "more/b": "2"})
    os.mkfifo("in/pipe")
    put = ("put-file", "r@master", "-r", "-f", "in")
    first = quoted(f"{store}/in/pipe")
    told = f"passed over a device, pipe or socket: {first}\n"
    assert pfs(*put).err == f"note: {told}"
    assert pfs(*put).err == f"note: {told}"  # also where no file is looked at again
    assert pfs(*put, "--delete-extra").err == f"note: {told}note: nothing changed, so no commit was made\n"
    os.mkfifo("more/other\nline")
    os.symlink("/dev/null", "more/null")
    several = pfs(*put, "-f", "more", "--json")
    assert several.err == f"note: passed over 3 devices, pipes or sockets, the first {first}\n"
    assert files(pfs) == {"/a": "1", "/b": "2"}


@pytest.mark.parametrize("address", ["r@master", "r@master:/", "r@master://"])
def test_a_wrong_name_is_shown_by_its_path_in_the_repo(store: Path, pfs: Run, address: str) -> None:
    write({"in/new\nline": "1"})
    expected = r"pfs: invalid path '/new\nline': control characters are not allowed" + "\n"
    assert pfs("put-file", address, "-f", "in/new\nline", code=2).err == expected
    assert pfs("put-file", address, "-r", "-f", "in", code=2).err == expected


# indexes


def index_of(pfs: Run, address: str, file: str, *, rename: str = "") -> None:
    """Write a listing as an Arrow stream."""
    import pyarrow as pa

    records: Any = pfs("list-file", address, "-r", "--json").json
    found = [record for record in records if record["type"] == "file"]
    columns = {name: [record[name] for record in found] for name in ("path", "size_bytes", "hash")}
    columns["path"] = [rename + path for path in columns["path"]]
    table = pa.table(columns)
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def test_an_index_puts_what_the_store_has(store: Path, pfs: Run) -> None:
    write({"in/a": "1", "in/d/b": "2", "other": "3"})
    pfs("put-file", "r@master", "-r", "-f", "in")
    index_of(pfs, "r@master", "list")
    pfs("put-file", "r@copy:/x", "-f", "other")
    record: Any = pfs("put-file", "r@copy:/to", "--index", "list", "--json").json
    assert (record["changed"], record["file_count"], record["size_bytes"], record["deleted_count"]) == (True, 2, 2, 0)
    assert files(pfs, "r@copy") == {"/to/a": "1", "/to/d/b": "2", "/x": "3"}
    record = pfs("put-file", "r@copy", "--index", "list", "--delete-extra", "--json").json
    assert record["deleted_count"] == 3
    assert files(pfs, "r@copy") == {"/a": "1", "/d/b": "2"}
    again = pfs("put-file", "r@copy", "--index", "list", "--delete-extra")
    assert again.out.strip() == record["id"]
    assert "nothing changed" in again.err


def test_an_index_from_stdin(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"in/a": "1"})
    pfs("put-file", "r@master", "-r", "-f", "in")
    index_of(pfs, "r@master", "list")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("list").read_bytes())))
    pfs("put-file", "r@copy", "--index", "-")
    assert files(pfs, "r@copy") == {"/a": "1"}


def test_what_an_index_may_not_have(store: Path, pfs: Run) -> None:
    import pyarrow as pa

    write({"a": "1", "text": "no Arrow"})
    pfs("put-file", "r@master", "-f", "a")
    table = pa.table({"path": ["x"], "size": [5], "id": ["ab" * 32]})
    with pa.ipc.new_file("list", table.schema) as writer:
        writer.write_table(table)
    assert "/x: the store does not have its content" in pfs("put-file", "r@master", "--index", "list", code=3).err
    index_of(pfs, "r@master", "bad", rename="../up")
    assert "'..'" in pfs("put-file", "r@master", "--index", "bad", code=2).err
    pfs("put-file", "r@master", "--index", "text", code=2)
    pfs("put-file", "r@master", "--index", "missing", code=3)
    pfs("put-file", "r@master", "--index", "list", "-f", "a", code=2)
    pfs("put-file", "r@master", "-f", "a", "--external", code=2)
    assert files(pfs) == {"/a": "1"}
    pfs("put-file", "r@master", "--index", "list", "--external")
    record: Any = pfs("inspect-file", "r@master:/x", "--json").json
    assert (record["type"], record["size_bytes"], record["hash"]) == ("external", 5, "ab" * 32)
    pfs("get-file", "r@master:/x", code=2)
