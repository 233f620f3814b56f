"""Commands in real containers, where docker or podman answers: the contract of executors, and what is theirs alone.

The image is made here, of a static busybox (Debian's busybox-static), so that no registry is asked.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pfs.store import Store, init
from pps.executor import DatumDone, Executor
from pps.executors.local import LocalExecutor
from pps.sandbox import container
from pps.spec import Transform
from pps.spec.task import ArtifactIn, ArtifactOut, Task
from tests.pps.executor_contract import Bench, ExecutorContract, Make

IMAGE = "localhost/pps-test:1"
ENGINE = container.find_engine()
BUSYBOX = shutil.which("busybox")

if ENGINE is None:
    pytest.skip("neither docker nor podman answers", allow_module_level=True)
if BUSYBOX is None or b"statically linked" not in subprocess.run(["file", "-L", BUSYBOX], capture_output=True).stdout:
    pytest.skip("no static busybox to make an image of", allow_module_level=True)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def rootfs() -> bytes:
    """Return a tar of an image with busybox and the user ``app`` (1000)."""
    assert BUSYBOX is not None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(os.path.realpath(BUSYBOX), "bin/busybox")
        applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in applets:
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        text = b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
        info = tarfile.TarInfo("etc/passwd")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


@pytest.fixture(scope="module", autouse=True)
def image() -> Iterator[None]:
    """Make the image; its entrypoint is one that no command means."""
    assert ENGINE is not None
    change = ["--change", 'ENTRYPOINT ["/bin/false"]']
    subprocess.run([ENGINE, "import", *change, "-", IMAGE], input=rootfs(), capture_output=True, check=True)
    yield
    subprocess.run([ENGINE, "rmi", "--force", IMAGE], capture_output=True, check=False)


def left() -> list[str]:
    """Return the names of the containers that there are, of any process of ours."""
    assert ENGINE is not None
    listing = [ENGINE, "ps", "--all", "--filter", "label=pfs.store", "--format", "{{.Names}}"]
    return subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()


def make_in(tmp_path: Path) -> Make:
    def make(store: Store) -> Executor:
        return LocalExecutor(
            store, slots=2, work_dir=tmp_path / "work", log_dir=tmp_path / "logs", isolation="container"
        )

    return make


class TestInContainers(ExecutorContract):
    no_op_count = 20
    image = IMAGE

    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Make]:
        yield make_in(tmp_path)
        assert left() == []

    @pytest.mark.skip(reason="a container a datum: hours, and nothing that 20 do not show")
    def test_ten_thousand_no_ops(self, bench: Bench) -> None: ...

    def test_sigkill_of_a_command_by_its_number(self, bench: Bench) -> None:
        """An engine tells a signal as exit code 128 and more."""
        done = bench.run(bench.unit(bench.task(0), script=("kill -SEGV $$",)))["datum-0"]
        assert (done.state, done.exit_code, done.signal) == ("failed", 128 + signal.SIGSEGV, None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            commit.put_file("/f0", b"file 0\n")
            commit.put_file("/dir/a", b"deep\n")
        bench = Bench(store, make_in(tmp_path)(store), repo["master"], image=IMAGE)
        yield bench
        bench.executor.close()
    assert left() == []


def ran(bench: Bench, script: str, *, number: int = 0, **fields: object) -> DatumDone:
    transform = Transform(cmd=("sh", "-ec", script), image=IMAGE, **fields)  # type: ignore[arg-type]
    task = bench.task(number, bench.given("f0"), bench.given("dir", name="d"))
    return bench.run(bench.unit(task, transform=transform, number=number))[task.id]


@pytest.mark.parametrize("user", [None, "app", "1234:1234"])
def test_any_user_writes_its_output_and_its_inputs(bench: Bench, user: str | None) -> None:
    script = (
        'cat "$in" > /pfs/out/x; mkdir /pfs/out/d; echo y > /pfs/out/d/y; echo more >> "$in"; echo z > /pfs/d/dir/z'
    )
    done = ran(bench, script + '; rm /pfs/d/dir/a; touch "$HOME/h" "$TMPDIR/t"', user=user)
    assert (done.state, done.error) == ("success", None), done.log_tail
    assert sorted(output.key for output in done.outputs) == [b"d/y", b"x"]


@pytest.mark.parametrize(("user", "ask"), [(None, "next-datum"), ("app", "next-datum"), ("app", "pachctl next datum")])
def test_one_container_works_on_many_datums(bench: Bench, user: str | None, ask: str) -> None:
    work = '. /pfs/.env; cat "$in" > /pfs/out/x; hostname > /pfs/out/name; echo more >> "$in"; echo "$PACH_DATUM_ID"'
    go_on = f"if [ $PACH_DATUM_ID = datum-2 ]; then {ask} --error bad; else {ask}; fi"
    script = f"{ask} || exit 0; while :; do {work}; {go_on} || exit 0; done"
    transform = Transform(cmd=("sh", "-c", script), image=IMAGE, user=user, datum_batching=True)
    tasks = [bench.task(number, bench.given("f0")) for number in range(4)]
    done = bench.run(bench.unit(*tasks, transform=transform))
    assert [one.state for one in done.values()] == ["success", "success", "failed", "success"], done
    # An engine passes on what a command says when it comes to it, so a line may be in the log of a later datum.
    assert "".join(one.log_tail for one in done.values()) == "".join(f"datum-{number}\n" for number in range(4))
    assert len({output for number in (0, 1, 3) for output in done[f"datum-{number}"].outputs}) == 2


def test_the_path_is_that_of_the_image_or_the_spec(bench: Bench) -> None:
    assert sys.prefix not in ran(bench, "echo $PATH").log_tail
    assert ran(bench, "/bin/echo $PATH", number=1, env={"PATH": "/bin:/mine"}).log_tail == "/bin:/mine\n"


def test_a_command_that_ran_too_long_leaves_no_container(bench: Bench) -> None:
    unit = bench.unit(bench.task(0), script=("trap '' TERM; while :; do sleep 1; done",), timeout_s=2.0)
    assert "datum_timeout" in (bench.run(unit)["datum-0"].error or "")
    assert left() == []


def test_containers_of_a_killed_process_are_removed(bench: Bench) -> None:
    assert ENGINE is not None
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name, store in ((f"pps-{gone.pid}-00000000", str(bench.store.path)), (f"pps-{gone.pid}-1", "/other")):
        argv = container.run_argv(
            ENGINE, IMAGE, ["sleep", "1000"], name=name, store=store, env={}, cwd=None, volumes=[]
        )
        subprocess.run([*argv[:2], "--detach", *argv[2:]], check=True, capture_output=True)
    try:
        assert ran(bench, "true").state == "success"
        assert left() == [f"pps-{gone.pid}-1"]
    finally:
        container.remove(ENGINE, f"pps-{gone.pid}-1")


def test_lazy_inputs_are_filled_when_they_are_opened(bench: Bench) -> None:
    task = bench.task(0, replace(bench.given(""), lazy=True))
    script = ('[ -p "$PFS/in/f0" ]; cat "$PFS/in/dir/a" > "$PFS_OUT/x"; ln -s /pfs/in/f0 "$PFS_OUT/link"',)
    done = bench.run(bench.unit(task, script=script))["datum-0"]
    assert (done.error, done.bytes.download) == (None, len(b"deep\n"))
    view = bench.commit(done.unit, done.outputs)
    assert (view.read("/x"), view.read("/link")) == (b"deep\n", b"file 0\n")


@pytest.mark.parametrize("user", [None, "app"])
def test_artifacts_of_a_task(bench: Bench, tmp_path: Path, user: str | None) -> None:
    """Relative ones, below /tmp and elsewhere, in and out; of the image's folder only what is an artifact is there."""
    with bench.store.repo("in").commit("master") as commit:
        commit.put_file("/run", json.dumps({"params": {"p": "q"}, "item": None}).encode())
    bench.view = bench.store.repo("in")["master"]
    code = tmp_path / "code"
    (code / "d").mkdir(parents=True)
    (code / "d/old").write_text("old")
    paths = {"r": "in.txt", "t": "/tmp/deep/in.txt", "e": "/elsewhere/in.txt", "b": "/bin2/x/"}
    inputs = [ArtifactIn(name, path) for name, path in paths.items()]
    inputs += [ArtifactIn("d", "d", "directory"), ArtifactIn("f", "/folder/{{params.p}}", "directory")]
    outputs = [ArtifactOut(name, path.rstrip("/") if name != "b" else "/bin2/x/f0") for name, path in paths.items()]
    outputs += [ArtifactOut("d", "d", "directory"), ArtifactOut("f", "/folder/{{params.p}}", "directory")]
    outputs += [ArtifactOut("g", "/made/*.{a,b}", "glob"), ArtifactOut("n", "/made/deep/n")]
    script = """
for f in in.txt /tmp/deep/in.txt /elsewhere/in.txt /bin2/x/f0 d/a /folder/q/a; do cat $f; echo more >> $f; done
test ! -e d/old; mkdir /made/deep; echo n > /made/deep/n; touch /made/x.a /made/y.b /made/z.c; env | grep ^AWS || true
"""
    task = Task("w", "t", shell=True, inputs=tuple(inputs), outputs=tuple(outputs))
    transform = Transform(cmd=("sh", "-exc", script), image=IMAGE, user=user, task=task)
    given = [bench.given("f0", name=name) for name in paths]
    given += [bench.given("dir", name="d"), bench.given("dir", name="f"), bench.given("run", name="workflow")]
    datum = bench.task(0, *given)
    done = bench.run(bench.unit(datum, transform=transform, code_dir=code))[datum.id]
    assert (done.state, done.error) == ("success", None), done.log_tail
    assert [output.key.decode() for output in done.outputs] == [
        *("b/f0", "d/a", "e/in.txt", "f/a", "g/x.a", "g/y.b", "n/n", "r/in.txt", "t/in.txt")
    ]
    view = bench.commit(done.unit, done.outputs)
    assert {view.read(path) for path in ("/b/f0", "/e/in.txt", "/r/in.txt", "/t/in.txt")} == {b"file 0\nmore\n"}
    assert view.read("/f/a") == view.read("/d/a") == b"deep\nmore\n"
