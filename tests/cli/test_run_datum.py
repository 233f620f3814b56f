"""`pps run-datum`: a datum again, as its worker ran it, without a trace in the store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import environment

SCRIPT = """
echo "$PPS_PIPELINE_NAME $PFS_JOB_ID $OWN $(cat helper)"
cat "$in" > "$PFS_OUT/copy"
ln -s "$in" "$PFS_OUT/link"
echo more >> "$PFS_OUT/copy"
mkdir "$PFS_OUT/d" && head -c 1000000 /dev/zero > "$PFS_OUT/d/zeros"
[ "$(cat "$in")" != bad ] || { echo no >&2; exit 7; }
"""


@pytest.fixture
def job(store: Path, pfs: Run, pps: Run) -> str:
    """A pipeline that ran over a good and a bad file, changed since; returns PIPELINE@JOB."""
    Path("run.sh").write_text(SCRIPT)
    Path("helper").write_text("first")
    document = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["sh", "-e", "run.sh"], "env": {"OWN": "mine"}, "code": ["helper"]},
        "input": {"pfs": {"repo": "r", "glob": "/*", "name": "in"}},
        "datum_tries": 1,
    }
    Path("p.json").write_text(json.dumps(document))
    for name, text in (("good", "good"), ("bad", "bad")):
        Path("x").write_text(text)
        pfs("put-file", f"r@master:/{name}", "-f", "x")
    pps("create-pipeline", "-f", "p.json")
    pps("run", code=1)
    id = pps("list-job", "--json").json[0]["id"]
    # What comes later plays no part.
    Path("helper").write_text("second")
    Path("x").write_text("other")
    pfs("put-file", "r@master:/good", "-f", "x")
    return f"p@{id}"


def datums(pps: Run, job: str) -> dict[str, str]:
    return {one["inputs"][0]["path"]: one["id"] for one in pps("list-datum", job, "--json").json}


def stored(folder: Path) -> set[tuple[str, int]]:
    """Return what the store has, but for what is made for a run alone."""
    top = folder / ".pfs"
    files = (one for one in top.rglob("*") if one.is_file() and "run" not in one.relative_to(top).parts[:1])
    return {(str(one), one.stat().st_size) for one in files}


def test_it_runs_as_it_ran_and_its_files_are_the_same(job: str, store: Path, pps: Run) -> None:
    before = stored(store)
    done = pps("run-datum", job, datums(pps, job)["/good"])
    assert stored(store) == before
    assert f"p {job[2:]} mine first" in done.err
    # The job failed, so the datum's result is not in the output, but it is kept for the next job.
    assert [line.split() for line in done.out.splitlines()][1:] == [
        ["/copy", "9", "B", "same"],
        ["/d/zeros", "977", "KiB", "same"],
        ["/link", "4", "B", "same"],
    ], done.out


def test_a_failure_has_the_exit_code_of_the_command(job: str, pps: Run) -> None:
    done = pps("run-datum", job, datums(pps, job)["/bad"], code=7)
    assert "no" in done.err.splitlines()
    assert "failed: the command ended with exit code 7 (in the job it was failed)" in done.err
    found = pps("run-datum", job, datums(pps, job)["/bad"][:10], "--json", code=7).json
    assert (found["state"], found["before"], found["exit_code"], found["files"]) == ("failed", "failed", 7, [])


def test_what_it_wrote_can_be_kept(job: str, store: Path, pps: Run) -> None:
    found = pps("run-datum", job, datums(pps, job)["/good"], "--keep", "kept", "--isolation", "none", "--json").json
    assert [one["how"] for one in found["files"]] == ["same", "same", "same"]
    assert (store / "kept/copy").read_text() == "goodmore\n"
    assert (store / "kept/link").read_text() == "good"
    assert (store / "kept/d/zeros").read_bytes() == bytes(1_000_000)
    assert "is not empty" in pps("run-datum", job, "x", "--keep", "kept", code=2).err


def test_what_differs_is_told(store: Path, pfs: Run, pps: Run) -> None:
    spec = {
        "pipeline": {"name": "p"},
        "transform": {
            "cmd": ["sh"],
            "stdin": ["date +%N > $PFS_OUT/now; echo 1 > $PFS_OUT/one; mktemp -p $PFS_OUT n-XXXXXXXX"],
        },
        "input": {"pfs": {"repo": "r", "glob": "/"}},
    }
    Path("p.json").write_text(json.dumps(spec))
    pfs("put-file", "r@master:/x", "-f", "p.json")
    pps("create-pipeline", "-f", "p.json")
    pps("run")
    job = f"p@{pps('list-job', '--json').json[0]['id']}"
    (datum,) = datums(pps, job).values()
    found = {one["path"][:4]: one["how"] for one in pps("run-datum", job, datum, "--json").json["files"] if one["size"]}
    assert found == {"/now": "differs", "/one": "same"}
    new = [one["how"] for one in pps("run-datum", job, datum, "--json").json["files"] if one["path"].startswith("/n-")]
    assert sorted(new) == ["missing", "new"]


def test_an_s3_datum_has_its_gateway(store: Path, pfs: Run, pps: Run) -> None:
    code = """
import boto3
s3 = boto3.client("s3")
s3.put_object(Bucket="out", Key="k", Body=s3.get_object(Bucket="r", Key="x")["Body"].read())
"""
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": [sys.executable, "-c", code]},
        "input": {"pfs": {"repo": "r", "s3": True}},
        "s3_out": True,
    }
    Path("p.json").write_text(json.dumps(spec))
    pfs("put-file", "r@master:/x", "-f", "p.json")
    pps("create-pipeline", "-f", "p.json")
    pps("run")
    job = f"p@{pps('list-job', '--json').json[0]['id']}"
    (datum,) = datums(pps, job).values()
    again = pps("run-datum", job, datum, "--keep", "kept", "--json").json
    assert [(one["path"], one["how"]) for one in again["files"]] == [("/k", "same")]
    assert (store / "kept/k").read_bytes() == (store / "p.json").read_bytes()


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_a_shell_is_in_the_place_of_the_command(job: str, store: Path, pps: Run, isolation: str) -> None:
    datum = datums(pps, job)["/good"]
    argv = [sys.executable, "-c", "from cli.pps_main import main; main()"]
    argv += ["run-datum", job, datum, "--shell", "--isolation", isolation]
    typed = 'test -t 1 && echo "<$OWN:$(cat "$in"):$(cat helper)>"; sh -e run.sh; cat "$PFS_OUT/copy"; exit 5\n'
    done = subprocess.run(argv, input=typed.encode(), capture_output=True, env=environment(store), timeout=120)
    assert done.returncode == 5, done
    assert b"<mine:good:first>" in done.stdout
    assert b"goodmore" in done.stdout
    assert b"\nsh -e run.sh\n" in done.stderr


def test_what_does_not_go_together_is_refused(job: str, pps: Run) -> None:
    assert "neither" in pps("run-datum", job, "x", "--shell", "--json", code=2).err
    assert "not found" in pps("run-datum", job, "beef", code=3).err


@pytest.mark.parametrize("batched", [False, True])
def test_a_lazy_datum_of_a_batch_runs_alone(store: Path, pfs: Run, pps: Run, batched: bool) -> None:
    work = "cat $PFS/r/* > $PFS_OUT/$(ls $PFS/r)"
    spec = {
        "pipeline": {"name": "p"},
        "transform": {
            "cmd": ["sh"],
            "stdin": [f"while next-datum; do {work}; done" if batched else work],
            "datum_batching": batched,
        },
        "input": {"pfs": {"repo": "r", "glob": "/*", "lazy": True}},
    }
    Path("p.json").write_text(json.dumps(spec))
    pfs("put-file", "r@master:/x", "-f", "p.json")
    pps("create-pipeline", "-f", "p.json")
    pps("run")
    job = f"p@{pps('list-job', '--json').json[0]['id']}"
    (datum,) = datums(pps, job).values()
    assert [one["how"] for one in pps("run-datum", job, datum, "--json").json["files"]] == ["same"]
