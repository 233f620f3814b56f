"""Groups: lab results by hospital and by patient; stores, purchases and returns by store, over three repos."""

from __future__ import annotations

import json

from tests.dags.conftest import Dag

RESULTS = [
    "T1606331395-LIPID-PATID1-CLIA24D9871327",
    "T1606707557-LIPID-PATID1-CLIA24D9871327",
    "T1606707579-LIPID-PATID3-CLIA24D9871327",
    "T1606707597-LIPID-PATID4-CLIA24D9871328",
    "T1606707613-LIPID-PATID2-CLIA24D9871328",
]


def results(names: list[str]) -> dict[str, str]:
    return {f"{name}.txt": f"{name.split('-')[0]}\n" for name in names}


def test_lab_results_by_hospital_and_by_patient(dag: Dag) -> None:
    dag.pfs("create-repo", "labresults")
    dag.put("labresults@master", results(RESULTS))
    dag.create("lab.json")
    dag.pps("run")
    assert dag.progress("group_by_hospital") == ["2 + 0 / 2 success"]
    assert dag.progress("group_by_patient") == ["4 + 0 / 4 success"]
    assert sorted(dag.files("group_by_hospital@master")) == sorted(
        f"{name.partition('-CLIA')[2]}/{name}.txt" for name in RESULTS
    )
    assert dag.files("group_by_patient@master") == {
        "PATID1.txt": "T1606331395\nT1606707557\n",
        "PATID2.txt": "T1606707613\n",
        "PATID3.txt": "T1606707579\n",
        "PATID4.txt": "T1606707597\n",
    }
    dag.put("labresults@master", results(["T1606800000-LIPID-PATID3-CLIA24D9871328"]))
    dag.pps("run")
    assert dag.progress("group_by_hospital")[-1] == "1 + 1 / 2 success", "the hospital with the new result alone"
    assert dag.progress("group_by_patient")[-1] == "1 + 3 / 4 success"
    assert dag.files("group_by_patient@master")["PATID3.txt"] == "T1606707579\nT1606800000\n"


def test_three_repos_by_store(dag: Dag) -> None:
    for repo in ("stores", "purchases", "returns"):
        dag.pfs("create-repo", repo)
    dag.put("stores@master", {f"STOREID{n}.txt": json.dumps({"name": f"shop{n}"}) for n in (1, 2, 3)})
    bought = {"A_STOREID1": 1000, "B_STOREID1": 250, "C_STOREID2": 999, "D_STOREID7": 42}
    dag.put("purchases@master", {f"{name}.txt": json.dumps({"cents": cents}) for name, cents in bought.items()})
    dag.put("returns@master", {"A_STOREID1.txt": json.dumps({"cents": 1000})})
    dag.create("retail.json")
    dag.pps("run")
    assert dag.progress("group_store_revenue") == ["4 + 0 / 4 success"], "one for each store in any of the repos"
    assert dag.files("group_store_revenue@master") == {
        "1_revenue.txt": "shop1 250\n",
        "2_revenue.txt": "shop2 999\n",
        "3_revenue.txt": "shop3 0\n",
        "7_revenue.txt": "unknown 42\n",
    }
    dag.put("returns@master", {"C_STOREID2.txt": json.dumps({"cents": 999})})
    dag.pps("run")
    assert dag.progress("group_store_revenue")[-1] == "1 + 3 / 4 success"
    assert dag.files("group_store_revenue@master")["2_revenue.txt"] == "shop2 0\n"
