"""A store with a pipeline of very many datums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pfs
from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.trees.page import Kind
from pps.pipelines.pipelines import Pipelines
from pps.spec import parse_specs
from pps.spec.node import Plain

_TRUE: Mapping[str, Plain] = {"cmd": ["true"]}
_FOLDER = 1000
"""Files in a directory of the input."""


def file_path(number: int) -> str:
    """Return the path of a file of the input."""
    return f"/d{number // _FOLDER:06d}/f{number:08d}"


def make_store(place: Path, count: int, *, transform: Mapping[str, Plain] = _TRUE) -> None:
    """Make a store with ``count`` small files in a repo, and a pipeline that takes each as a datum."""
    pfs.init(place).close()
    with pfs.open(place) as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            for number in range(count):
                data = b"%d" % number
                id = chunk_id(data)
                commit.session.put_chunks([(id, data)])
                commit.put_ref(file_path(number)[1:].encode(), FileRef(Kind.FILE, len(data), TreeId(id)))
        spec: dict[str, Plain] = {
            "pipeline": {"name": "p"},
            "transform": dict(transform),
            "input": {"pfs": {"repo": "data", "glob": "/*/*"}},
        }
        (parsed,) = parse_specs(json.dumps(spec), name="p.json")
        Pipelines(store).create(parsed, base_dir=place)
