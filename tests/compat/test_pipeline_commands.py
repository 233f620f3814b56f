"""Commands on pipelines, jobs, datums and logs (docs/compatibility.md, 2.8, 2.10, 4), as they are typed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.conftest import Run
from tests.pps.pipe_world import world_in
from tests.pps.test_job_control import Gate, serving

COPY = 'echo "copies $in"; echo why >&2; cp "$in" "$PFS_OUT"'
Make = Callable[..., None]


@pytest.fixture
def make(store: Path, pps: Run) -> Make:
    """Return a function that makes or updates a pipeline, ``make("p", "r", "script")``, which reads each file of r."""

    def call(name: str, repo: str, script: str = COPY, **fields: object) -> None:
        leaf = {"pfs": {"repo": repo, "glob": "/*", "name": "in"}}
        transform = {"cmd": ["sh", "-c", script]}
        document = {"pipeline": {"name": name}, "transform": transform, "input": leaf, **fields}
        (store / f"{name}.json").write_text(json.dumps(document))
        pps("update-pipeline", "-f", f"{name}.json")

    return call


def header(text: str) -> list[str]:
    return [one.strip() for one in text.splitlines()[0].split("  ") if one.strip()]


@pytest.mark.row("4 update pipeline", "4 inspect pipeline", "4 list pipeline", "4 list pipeline columns", "4 JSON")
@pytest.mark.row("4 start, stop, rerun", "2.8 state STANDBY", "2.8 state PAUSED")
def test_looking_at_pipelines(make: Make, put: Callable[..., str], pfs: Run, pps: Run) -> None:
    put("r@master", x="1")
    make("p", "r", description="copies")
    make("q", "p", description="copies copies")
    pps("run")
    first = pps("inspect-pipeline", "p", "--json").json
    assert (first["version"], first["state"], first["last_job_state"], first["alerts"]) == (1, "idle", "success", [])
    assert "copies" in pps("inspect-pipeline", "p").out
    shown = pps("list-pipeline").out
    assert header(shown) == ["NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "ALERTS", "DESCRIPTION"]
    assert "idle / success" in shown
    pps("update-pipeline", "-f", "p.json", "--reprocess")
    pps("run", "p")
    assert pps("list-job", "-p", "p", "-n", "1", "--json").json[0]["data_processed"] == 1
    pps("stop-pipeline", "p")
    assert [one["name"] for one in pps("list-pipeline", "--state", "stopped", "--json").json] == ["p"]
    pps("start-pipeline", "p")
    pps("rerun-pipeline", "q")
    assert {one["name"] for one in pps("list-pipeline", "--state", "pending", "--json").json} == {"p", "q"}
    assert [one["pipeline"]["name"] for one in pps("list-pipeline", "--spec").json] == ["p", "q"]
    pps("list-pipeline", "--state", "happy", code=2)


def test_which_pipelines_need_a_look(make: Make, put: Callable[..., str], pps: Run) -> None:
    put("r@master", x="1")
    make("p", "r")
    make("bad", "r", "exit 1", datum_tries=1)
    assert pps("check-status").out == "all pipelines are well\n"
    pps("run", code=1)
    (job,) = pps("list-job", "-p", "bad", "--json").json
    (found,) = pps("check-status", "--json", code=1).json
    assert (found["name"], found["alerts"]) == ("bad", [f"its last job, {job['id']}, ended in failure"])
    assert "bad" in pps("check-status", code=1).out
    pps("stop-pipeline", "bad")
    assert pps("check-status", "--json").json == []
    pps("start-pipeline", "bad")
    make("bad", "r", "true")
    pps("run")
    assert pps("check-status", "--json").json == []


@pytest.mark.row("2.8 delete", "2.8 delete all", "4 delete pipeline")
def test_deleting(make: Make, put: Callable[..., str], pfs: Run, pps: Run, store: Path) -> None:
    put("r@master", x="1")
    make("p", "r")
    make("q", "p")
    ticking = {
        "pipeline": {"name": "t"},
        "transform": {"cmd": ["true"]},
        "input": {"cron": {"name": "tick", "spec": "@never"}},
    }
    (store / "t.json").write_text(json.dumps(ticking))
    pps("create-pipeline", "-f", "t.json")
    pps("run")
    repos = {one["name"] for one in pfs("list-repo", "--json").json}
    assert repos == {"r", "p", "q", "t", "t_tick"}
    assert "q" in pps("delete-pipeline", "p", code=4).err
    pps("delete-pipeline", "t")
    assert "not found" in pps("inspect-pipeline", "t", code=3).err
    assert {one["pipeline"] for one in pps("list-job", "--json").json} == {"p", "q"}
    assert {one["name"] for one in pfs("list-repo", "--json").json} == {"r", "p", "q"}
    assert "or --all" in pps("delete-pipeline", code=2).err
    pps("delete-pipeline", "--all")
    assert pps("list-job", "--json").json == pps("list-pipeline", "--json").json == []
    assert {one["name"] for one in pfs("list-repo", "--json").json} == {"r"}


@pytest.mark.row("2.8 update of the inputs")
def test_an_update_binds_the_output_to_the_new_inputs(make: Make, put: Callable[..., str], pfs: Run, pps: Run) -> None:
    put("r@master", x="1")
    pfs("create-repo", "s")
    put("s@master", y="2")
    make("p", "r")
    pps("run")
    make("p", "s")
    (source,) = pfs("inspect-branch", "p@master", "--json").json["provenance"]
    assert (source["repo"], source["branch"]) == ("s", "master")
    pps("run")
    assert pfs("get-file", "p@master:/y").out == "2"
    assert "/x" in pfs("get-file", "p@master:/x", code=3).err
    pfs("delete-repo", "r")


@pytest.mark.row(
    "2.5 PROGRESS", "4 list job columns", "4 inspect job", "4 list job set", "4 list datum", "4 list datum columns"
)
@pytest.mark.row("4 inspect datum")
def test_looking_at_jobs_and_datums(make: Make, put: Callable[..., str], pps: Run) -> None:
    put("r@master", a="1", b="22")
    script = f'case "$in" in */bad) exit 1;; esac; {COPY}'
    leaf = {"cmd": ["sh", "-c", script], "err_cmd": ["true"]}
    make("p", "r", transform=leaf, datum_tries=1)
    pps("run")
    commit = put("r@master", c="3", bad="4")
    pps("run")
    shown = pps("list-job").out
    assert header(shown) == [
        "PIPELINE",
        "ID",
        "STARTED",
        "DURATION",
        "RESTART",
        "PROGRESS",
        "DL",
        "UL",
        "STATE",
        "REASON",
    ]
    assert "1 + 2 + 1 / 4" in shown or "0 + 3 + 1 / 4" in shown
    job = pps("inspect-job", f"p@{commit}", "--json").json
    assert (job["id"], job["state"], job["data_total"], job["data_recovered"]) == (commit, "success", 4, 1)
    assert {"seconds", "input_bytes", "output_bytes", "restart"} <= set(job)
    assert header(pps("list-job-set").out)[0] == "ID"
    assert commit in pps("list-job-set").out
    datums = pps("list-datum", f"p@{commit}", "--json").json
    assert sorted(one["state"] for one in datums)[0] == "recovered"
    assert {item["path"] for one in datums for item in one["inputs"]} == {"/a", "/b", "/c", "/bad"}
    titles = header(pps("list-datum", f"p@{commit}").out)
    assert titles == ["ID", "STATE", "TRIES", "SECONDS", "IN", "OUT", "FILES"]
    (bad,) = pps("list-datum", f"p@{commit}", "--state", "recovered", "--state", "failed", "--json").json
    assert bad in datums
    assert bad["state"] == "recovered"
    (one,) = pps("inspect-job", commit[:8], "--json").json["jobs"]
    assert one["id"] == pps("wait-job", commit, "--json").json["id"] == commit
    assert [one["id"] for one in pps("list-job", commit, "--json").json] == [commit]
    assert "have ended" in pps("stop-job", commit, code=4).err
    shown = pps("inspect-datum", f"p@{commit}", bad["id"][:12], "--json").json
    assert (shown["exit_code"], shown["tries"], shown["inputs"][0]["path"]) == (1, 1, "/bad")


@pytest.mark.row("2.8 run-cron", "4 run cron")
def test_a_tick_by_hand(pfs: Run, pps: Run, store: Path) -> None:
    leaf = {"cron": {"name": "tick", "spec": "@never"}}
    spec = {"pipeline": {"name": "t"}, "transform": {"cmd": ["true"]}, "input": leaf}
    (store / "t.json").write_text(json.dumps(spec))
    pps("create-pipeline", "-f", "t.json")
    commit = pps("run-cron", "t").out.strip()
    pps("run")
    assert pps("inspect-job", f"t@{commit}", "--json").json["data_processed"] == 1


@pytest.mark.row("2.10 log lines", "2.10 by pipeline", "2.10 by job", "2.10 by input", "2.10 tail", "2.10 since")
@pytest.mark.row("2.10 raw", "4 logs")
def test_logs(make: Make, put: Callable[..., str], pps: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put("r@master", a="1", d__x="2")
    make("p", "r", 'echo "sees $in" | sed "s,/.*/in/,/in/,"; cp -r "$in" "$PFS_OUT"')
    pps("run")
    second = put("r@master", b="3")
    pps("run")

    def said(*words: str) -> list[str]:
        return sorted(pps("logs", *words).out.splitlines())

    assert said("-p", "p") == ["sees /in/b"]
    assert said("-p", "p", "-j", first) == said("-j", f"p@{first[:8]}") == ["sees /in/a", "sees /in/d"]
    assert said("-j", f"p@{first}", "--inputs", "/a") == ["sees /in/a"]
    assert said("-j", f"p@{first}", "--inputs", "a,/d/x") == ["sees /in/a", "sees /in/d"]
    assert said("-p", "p", "--inputs", "/a") == ["sees /in/a"], "skipped, so in the job that ran it"
    assert said("-p", "p", "--inputs", "/nosuch") == said("-p", "p", "--inputs", "/d/y/z")[1:] == []
    assert len(said("-j", f"p@{first}", "-t", "1")) == 1
    (line,) = pps("logs", "-p", "p", "--raw").out.splitlines()
    record = json.loads(line)
    assert (record["pipeline"], record["job"], record["message"]) == ("p", second, "sees /in/b")
    assert record["stream"] == "stdout"
    assert set(record) >= {"id", "time"}
    assert said("-p", "p", "--since", "24h") == ["sees /in/b"]
    later = time.time_ns() + 48 * 3600 * 10**9
    monkeypatch.setattr("cli.commands.logs.time.time_ns", lambda: later)
    assert said("-p", "p", "--since", "24h") == []
    assert said("-p", "p", "--since", "3d", "-t", "5") == ["sees /in/b"]
    pps("logs", code=2)
    pps("logs", "-p", "p", "-j", f"p@{first}", code=2)
    pps("logs", "-p", "p", "--inputs", "/a", "-f", code=2)


@pytest.mark.row("4 delete job")
def test_a_job_is_deleted(store: Path, pps: Run) -> None:
    with world_in(store) as world:
        world.code("run.sh", "true")
        world.put("images", {"/a": b"1"})
        world.create("one", {"pfs": {"repo": "images", "glob": "/*"}})
        first = world.run_one().id
        world.put("images", {"/b": b"1"})
        second = world.run_one().id
    assert pps("delete-job", f"one@{first}").out == ""
    assert [job["id"] for job in pps("list-job", "-p", "one", "--json").json] == [second]
    assert pps("delete-job", f"one@{second[:10]}", "--json").json["id"] == second
    assert pps("list-job", "--json").json == []
    assert first in pps("delete-job", f"one@{first}", code=3).err
    pps("delete-job", first, code=2)
    assert pps("run").code == 0
    assert pps("list-job", "--json").json == []


@pytest.mark.row("2.5 killed by stop-pipeline", "2.6 state STARTING", "2.8 stop", "4 stop job", "4 restart datum")
def test_what_runs_is_begun_again_and_stopped(store: Path, pps: Run) -> None:
    with (
        world_in(store) as world,
        TemporaryDirectory(dir="/var/tmp") as folder,
        closing(Gate(world, Path(folder))) as gate,
    ):
        world.put("images", {"/a": b"1"})
        for name in ("one", "two"):
            world.create(name, {"pfs": {"repo": "images", "glob": "/*"}})
        world.pipelines.stop("two")
        with serving(world):
            gate.wait_for_command()
            (running,) = world.jobs.jobs("one")
            for words in ((), ("/a",)):
                pps("restart-datum", f"one@{running.id}", *words)
                gate.wait_for_command()
            pps("stop-job", running.id)
            assert pps("wait-job", f"one@{running.id}", "--json", code=1).json["state"] == "killed"
            (datum,) = pps("list-datum", f"one@{running.id}", "--json").json
            assert datum["state"] == "starting"
            world.pipelines.start("two")
            gate.wait_for_command()
            (running,) = world.jobs.jobs("two")
            pps("stop-pipeline", "two")
            assert pps("wait-job", f"two@{running.id}", "--json", code=1).json["state"] == "killed"
