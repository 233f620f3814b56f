"""Lazily read inputs: of many logs only what a command opens is fetched, and links move files unread."""

from __future__ import annotations

from typing import Any

from tests.dags.conftest import Dag

LINES = 60_000
DAYS = [f"2026-0{month}-{day:02}" for month in (1, 2) for day in (1, 2, 3)]


def log(day: str) -> str:
    return f"begin {day}\n" + f"{day} all is well\n" * LINES + "error in the end\n"


def fetched(dag: Dag, pipeline: str) -> dict[str, int]:
    """Return how many bytes each datum of a pipeline's newest job took in, by the path of its first input."""
    job = dag.jobs(pipeline)[-1]["id"]
    found: Any = dag.pps("list-datum", f"{pipeline}@{job}", "--json").json
    return {
        min(file["path"] for file in datum["inputs"] if file["path"] != "/"): datum["input_bytes"] for datum in found
    }


def test_only_what_is_opened_is_fetched(dag: Dag) -> None:
    dag.pfs("create-repo", "logs")
    dag.pfs("create-repo", "questions")
    logs = {f"{day}.log": log(day) for day in DAYS}
    dag.put("logs@master", logs)
    dag.put("questions@master", {"well": f"{DAYS[4]} well\n", "errors": f"{DAYS[0]} error\n"})
    dag.create("search.json", "lazy_shuffle.json", "head.yaml")
    dag.pps("run")
    assert dag.progress("search") == ["2 + 0 / 2 success"]
    assert dag.files("search@master") == {"well": f"{LINES}\n", "errors": "1\n"}
    size = len(logs[f"{DAYS[0]}.log"])
    assert fetched(dag, "search") == {
        "/errors": size + len(f"{DAYS[0]} error\n"),
        "/well": size + len(f"{DAYS[4]} well\n"),
    }

    assert dag.progress("lazy_shuffle") == dag.progress("head") == ["6 + 0 / 6 success"]
    assert dag.files("lazy_shuffle@master") == {f"{day[:7]}/{day}.log": log(day) for day in DAYS}
    assert set(fetched(dag, "lazy_shuffle").values()) == {0}
    assert dag.files("head@master") == {f"{day}.log": f"begin {day}\n" for day in DAYS}
    assert max(fetched(dag, "head").values()) < size

    dag.put("logs@master", {"2026-03-01.log": log("2026-03-01")})
    dag.pps("run")
    assert dag.progress("search")[1:] == ["2 + 0 / 2 success"], "all logs are one input: another log may change answers"
    assert dag.progress("lazy_shuffle")[1:] == ["1 + 6 / 7 success"]
