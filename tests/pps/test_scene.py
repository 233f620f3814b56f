"""`Layer` puts an overlay together as the kernel does: compared with a real one after random changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import FailedError
from pps.sandbox.isolation import choose
from pps.sandbox.spawner import Command, Spawner
from pps.workers.scene import Scene, layer

NAMES = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
CHANGES = st.lists(
    st.one_of(
        PATHS.map(lambda path: f"rm -rf {path}"),
        PATHS.map(lambda path: f"mkdir -p {path}"),
        PATHS.map(lambda path: f"echo new > {path}"),
        PATHS.map(lambda path: f"rm -rf {path}; mkdir -p {path}; echo deep > {path}/c"),
        st.tuples(PATHS, PATHS).map(lambda pair: f"mv {pair[0]} {pair[1]}"),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def spawner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawner]:
    isolation, found = choose("auto", tmp_path_factory.mktemp("work"))
    if not isolation.overlay:
        found.close()
        pytest.skip(f"no overlay here: {isolation.detail}")
    yield found
    found.close()


def seen_from_outside(scene: Scene, folder: str) -> list[str]:
    found = []
    for name in scene.names(folder):
        path = f"{folder}/{name}"
        place = scene.find(path)
        assert place is not None
        if os.path.isdir(place):
            found += [f"d {path}", *seen_from_outside(scene, path)]
        else:
            found.append(f"f {path} {Path(place).read_text().strip()}")
    return sorted(found)


@settings(max_examples=40, deadline=None)
@given(st.sets(PATHS, max_size=5), CHANGES)
def test_same_as_the_kernel(spawner: Spawner, files: set[str], changes: list[str]) -> None:
    with TemporaryDirectory() as name:
        top = Path(name)
        for part in ("pfs", "lower", "upper", "work"):
            (top / part).mkdir()
        for file in files:
            if not any(other.startswith(file + "/") for other in files):
                place = top / "lower" / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text("old")
        walk = 'find . -mindepth 1 -type d -printf "d %p\\n"'
        walk += '; find . -type f | while read f; do echo "f $f $(cat $f)"; done'
        script = "\n".join(["cd /pfs/in", *(f"({change}) 2>/dev/null" for change in changes), walk])
        lower, upper, work = (str(top / part) for part in ("lower", "upper", "work"))
        mounts = (("bind", str(top / "pfs"), "/pfs"), ("overlay", lower, upper, work, "/pfs/in"))
        output = bytearray()
        with open(os.devnull, "rb") as null:
            command = Command(("sh", "-c", script), {"PATH": os.defpath}, "/", mounts)
            running = spawner.start(command, stdin=null.fileno())
        running.wait(lambda _stream, data: output.extend(data), timeout_s=60)
        inside = sorted(line.replace(" ./", " /pfs/in/", 1) for line in output.decode().splitlines())
        scene = Scene([layer("/pfs/in", top / "lower", top / "upper")])
        assert seen_from_outside(scene, "/pfs/in") == inside


def test_links_are_followed_in_the_commands_world(tmp_path: Path) -> None:
    (tmp_path / "pfs/out").mkdir(parents=True)
    (tmp_path / "view/d").mkdir(parents=True)
    (tmp_path / "view/d/f").write_text("x")
    (tmp_path / "pfs/out/abs").symlink_to("/pfs/in/d")
    (tmp_path / "pfs/out/rel").symlink_to("../in/./d/../d/f")
    (tmp_path / "pfs/out/both").symlink_to("abs/f")
    (tmp_path / "pfs/out/none").symlink_to("/pfs/in/e")
    (tmp_path / "pfs/out/loop").symlink_to("loop")
    scene = Scene([layer("/pfs", tmp_path / "pfs"), layer("/pfs/in", tmp_path / "view")])
    assert scene.resolve("/pfs/out/abs") == "/pfs/in/d"
    assert scene.resolve("/pfs/out/rel") == scene.resolve("/pfs/out/both") == "/pfs/in/d/f"
    assert scene.find("/pfs/in/d/f") == str(tmp_path / "view/d/f")
    assert scene.resolve("/pfs/out/none") is None
    assert scene.resolve("/..") == "/"
    with pytest.raises(FailedError, match="loop of symlinks"):
        scene.resolve("/pfs/out/loop")


def test_dots_and_links_do_not_lead_out_of_the_commands_world(tmp_path: Path) -> None:
    (tmp_path / "pfs/out").mkdir(parents=True)
    (tmp_path / "view").mkdir()
    (tmp_path / "view/f").write_text("x")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/f").write_text("the command's")
    links = {
        "up": "../../pfs/in/f",
        "tmp": "../../tmp/f",
        "more": "../../../../..//tmp/f",
        "host": f"../..{tmp_path}/view/f",
        "proc": "/proc/self/environ",
        "dots": "../../usr/../proc/self",
        "store": "/etc/../etc/shadow",
    }
    for name, target in links.items():
        (tmp_path / "pfs/out" / name).symlink_to(target)
    layers = [layer("/pfs", tmp_path / "pfs"), layer("/pfs/in", tmp_path / "view"), layer("/tmp", tmp_path / "tmp")]
    scene = Scene(layers, closed=("/proc", "/etc"))
    assert scene.resolve("/pfs/out/up") == "/pfs/in/f"
    assert scene.resolve("/pfs/out/tmp") == scene.resolve("/pfs/out/more") == "/tmp/f"
    if str(tmp_path).startswith("/tmp/"):
        assert scene.resolve("/pfs/out/host") is None
    for name in ("proc", "dots", "store"):
        with pytest.raises(FailedError, match=f"/pfs/out/{name} .* outside what the command could see$"):
            scene.resolve(f"/pfs/out/{name}")


def test_layers_lie_in_closed_folders(tmp_path: Path) -> None:
    """As without namespaces, where all of a command's world is in the store's own folder."""
    (tmp_path / "store/slot/out").mkdir(parents=True)
    (tmp_path / "store/secret").write_text("no")
    (tmp_path / "store/slot/f").write_text("yes")
    for name, target in (("up", "../f"), ("secret", "../../secret"), ("all", "../..")):
        (tmp_path / "store/slot/out" / name).symlink_to(target)
    scene = Scene([layer(f"{tmp_path}/store/slot", tmp_path / "store/slot")], closed=(f"{tmp_path}/store",))
    assert scene.resolve(f"{tmp_path}/store/slot/out/up") == f"{tmp_path}/store/slot/f"
    for name in ("secret", "all"):
        with pytest.raises(FailedError, match="outside what the command could see"):
            scene.resolve(f"{tmp_path}/store/slot/out/{name}")


def test_files_of_the_host_are_opened_step_by_step(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "link").symlink_to("d")
    os.mkfifo(tmp_path / "d/pipe")
    scene = Scene([], closed=(f"{tmp_path}/closed",))
    with scene.open_outside(f"{tmp_path}/d/f") as file:
        assert file.read() == b"x"
    with pytest.raises(NotADirectoryError):
        scene.open_outside(f"{tmp_path}/link/f")
    for path in (f"{tmp_path}/d", f"{tmp_path}/d/pipe", f"{tmp_path}/link", "/"):
        with pytest.raises(FailedError, match="no regular file"):
            scene.open_outside(path)
    # A closed folder is known wherever it is seen: here it has another name.
    scene = Scene([], closed=(f"{tmp_path}/link",))
    with pytest.raises(FailedError, match="outside"):
        scene.open_outside(f"{tmp_path}/d/f")
