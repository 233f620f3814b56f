"""Edges of images and a montage of them: real pictures, Pillow instead of OpenCV."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageFilter

from tests.dags.conftest import Dag

PICTURES = Path(skimage.__file__).parent / "data"


def pictures(*names: str) -> dict[str, bytes]:
    return {name: (PICTURES / name).read_bytes() for name in names}


def image(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def edges(name: str) -> np.ndarray:
    return np.asarray(Image.open(PICTURES / name).convert("L").filter(ImageFilter.FIND_EDGES))


@pytest.fixture
def opencv(dag: Dag) -> Dag:
    dag.pfs("create-repo", "images")
    dag.put("images@master", pictures("horse.png", "moon.png"))
    dag.create("edges.json", "montage.json")
    dag.pps("run")
    return dag


def test_images_edges_montage(opencv: Dag) -> None:
    assert opencv.progress("edges") == ["2 + 0 / 2 success"]
    assert opencv.progress("montage") == ["1 + 0 / 1 success"]
    found = opencv.bytes_of("edges@master")
    assert sorted(found) == ["horse.png", "moon.png"]
    assert np.array_equal(np.asarray(image(found["moon.png"])), edges("moon.png"))
    (sheet,) = opencv.bytes_of("montage@master").values()
    assert image(sheet).size == (4 * 60, 60)


def test_another_image_is_the_only_one_that_is_worked_on(opencv: Dag) -> None:
    commit = opencv.put("images@master", pictures("page.png"))
    opencv.pps("run")
    assert opencv.progress("edges")[1:] == ["1 + 2 / 3 success"]
    assert opencv.progress("montage")[1:] == ["1 + 0 / 1 success"]
    (sheet,) = opencv.bytes_of("montage@master").values()
    assert image(sheet).size == (6 * 60, 60)
    jobs = opencv.pps("inspect-job-set", commit, "--json").json["jobs"]  # type: ignore[call-overload, index]
    assert sorted(job["pipeline"] for job in jobs) == ["edges", "montage"], "one id for all that the image brought"
    opencv.pfs("delete-file", "images@master:/horse.png")
    opencv.pps("run")
    assert opencv.progress("edges")[2:] == ["0 + 2 / 2 success"]
    assert sorted(opencv.bytes_of("edges@master")) == ["moon.png", "page.png"]
    (sheet,) = opencv.bytes_of("montage@master").values()
    assert image(sheet).size == (4 * 60, 60)
