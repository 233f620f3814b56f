"""Word count: pages are fetched, their words are counted page by page, and the counts are added up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.dags.conftest import Dag

PAGES = {
    "/Main_Page": b"The elephant is the largest land animal. The elephant eats.",
    "/Grass": b"Grass is what the elephant eats",
    "/Water": b"water, water",
}


class Wiki(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        self.send_response(404 if page is None else 200)
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def wiki() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Wiki) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_words_are_counted_over_all_pages(dag: Dag, wiki: str) -> None:
    dag.pfs("create-repo", "urls")
    dag.put("urls@master", {"animals": f"{wiki}/Main_Page {wiki}/Grass\n", "gone": f"{wiki}/Nothing\n"})
    dag.create("word_count.json")
    dag.pps("run")
    assert dag.progress("scraper") == ["2 + 0 / 2 success"], "an exit code that the spec accepts is a success"
    assert dag.progress("map") == ["2 + 0 / 2 success"]
    assert dag.progress("reduce") == ["1 + 0 / 1 success"]
    assert sorted(dag.files("scraper@master")) == ["animals/Grass", "animals/Main_Page"]
    assert dag.files("map@master")["animals-Main_Page/the"] == "3\n"
    counts = {"the": 4, "elephant": 3, "eats": 2, "is": 2, "largest": 1, "land": 1, "animal": 1, "grass": 1, "what": 1}
    assert dag.files("reduce@master") == {word: f"{times}\n" for word, times in counts.items()}

    commit = dag.put("urls@master", {"liquids": f"{wiki}/Water\n"})
    dag.pps("run")
    assert dag.progress("scraper")[1:] == ["1 + 2 / 3 success"]
    assert dag.progress("map")[1:] == ["1 + 2 / 3 success"]
    assert dag.progress("reduce")[1:] == ["1 + 0 / 1 success"]
    assert dag.files("reduce@master") == {word: f"{times}\n" for word, times in (counts | {"water": 2}).items()}
    jobs = dag.pps("inspect-job-set", commit, "--json").json["jobs"]  # type: ignore[call-overload, index]
    assert {job["pipeline"] for job in jobs} == {"scraper", "map", "reduce"}

    dag.pfs("delete-file", "urls@master:/animals")
    dag.pps("run")
    assert dag.progress("map")[2:] == ["0 + 1 / 1 success"]
    assert dag.files("reduce@master") == {"water": "2\n"}
