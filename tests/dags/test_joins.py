"""Joins and outer joins of stores, purchases and returns by the number of the store in the names of the files."""

from __future__ import annotations

import json

import pytest

from tests.dags.conftest import Dag

ZIPS = {1: "02108", 2: "90210", 3: "60611", 4: "94107", 5: "02108"}
PURCHASES = ["W080520_STOREID1", "W080521_STOREID1", "W078929_STOREID2", "W078931_STOREID2", "W080528_STOREID5"]
RETURNS = ["W080528_STOREID5", "W080520_STOREID1", "W000001_STOREID9"]


def store(number: int) -> dict[str, str]:
    content = {"storeid": str(number), "address": {"zipcode": ZIPS[number], "country": "US"}}
    return {f"STOREID{number}.txt": json.dumps(content)}


def orders(kind: str, names: list[str]) -> dict[str, str]:
    return {f"ORDER{name}.txt": f"{kind} {name}\n" for name in names}


@pytest.fixture
def retail(dag: Dag) -> Dag:
    for repo in ("stores", "purchases", "returns"):
        dag.pfs("create-repo", repo)
    dag.put("stores@master", store(1) | store(2) | store(3) | store(4) | store(5))
    dag.put("purchases@master", orders("bought", PURCHASES))
    dag.put("returns@master", orders("returned", RETURNS))
    return dag


def test_an_inner_join_has_a_datum_for_each_pair(retail: Dag) -> None:
    retail.create("inner_join.json", "outer_join.json", "reduce.json")
    retail.pps("run", "inner_join", "reduce_inner")
    assert retail.progress("inner_join") == ["5 + 0 / 5 success"]
    assert retail.files("reduce_inner@master") == {
        "02108.txt": "bought W080520_STOREID1\nbought W080521_STOREID1\nbought W080528_STOREID5\n",
        "90210.txt": "bought W078929_STOREID2\nbought W078931_STOREID2\n",
    }
    retail.put("purchases@master", orders("bought", ["W090000_STOREID4", "W090001_STOREID8"]))
    retail.pps("run", "inner_join", "reduce_inner")
    assert retail.progress("inner_join") == ["5 + 0 / 5 success", "1 + 5 / 6 success"]
    assert retail.progress("reduce_inner") == ["2 + 0 / 2 success", "1 + 2 / 3 success"]
    assert retail.files("reduce_inner@master")["94107.txt"] == "bought W090000_STOREID4\n"


def test_a_full_outer_join_has_what_is_without_a_partner_too(retail: Dag) -> None:
    retail.create("inner_join.json", "outer_join.json", "reduce.json")
    retail.pps("run")
    assert retail.progress("outer_join") == ["6 + 0 / 6 success"]
    assert retail.files("reduce_outer@master") == {
        "02108.txt": "returned W080520_STOREID1\nreturned W080528_STOREID5\n",
        "60611.txt": "no returns in STOREID3\n",
        "90210.txt": "no returns in STOREID2\n",
        "94107.txt": "no returns in STOREID4\n",
        "UNKNOWN.txt": "returned W000001_STOREID9\n",
    }
    retail.put("returns@master", orders("returned", ["W078929_STOREID2"]))
    retail.pps("run")
    assert retail.progress("outer_join") == ["6 + 0 / 6 success", "1 + 5 / 6 success"]
    assert retail.files("reduce_outer@master")["90210.txt"] == "returned W078929_STOREID2\n"


def test_outer_on_one_side_is_a_left_join(retail: Dag) -> None:
    datums = retail.pps("list-datum", "-f", "left_join.yaml", "--json").json
    names = sorted(" ".join(sorted(file["path"] for file in datum["inputs"])) for datum in datums)  # type: ignore[attr-defined]
    assert names == [
        "/ORDERW080520_STOREID1.txt /STOREID1.txt",
        "/ORDERW080528_STOREID5.txt /STOREID5.txt",
        "/STOREID2.txt",
        "/STOREID3.txt",
        "/STOREID4.txt",
    ]
    retail.create("left_join.yaml")
    retail.pps("run")
    assert retail.progress("left_join") == ["5 + 0 / 5 success"]
    assert "UNKNOWN/ORDERW000001_STOREID9.txt" not in retail.files("left_join@master")
