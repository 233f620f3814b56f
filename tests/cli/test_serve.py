"""`pfs serve` as a process: one a store, clean ends, wrong secrets."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import botocore.exceptions
import botocore.session
import pytest

from pfs.store import init
from tests.cli.processes import BIN, environment, run, serving, start


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with init(tmp_path) as made:
        made.create_repo("r")
        with made.repo("r").commit("master") as commit:
            commit.put_file("/a", b"content")
    return tmp_path


def client(url: str, access_key: str, secret_key: str) -> object:
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(store: Path, number: signal.Signals) -> None:
    with serving(store) as served:
        s3 = client(served.url, served.access_key, served.secret_key)
        assert s3.get_object(Bucket="r", Key="a")["Body"].read() == b"content"  # type: ignore[attr-defined]
        s3.close()  # type: ignore[attr-defined]
        served.process.send_signal(number)
        assert served.process.wait(timeout=30) == 0


def test_a_second_one_on_the_store_says_so(store: Path) -> None:
    with serving(store) as served:
        run(store, "pfs", "serve", "--port", "0", code=4)
        assert served.process.poll() is None
    with serving(store):
        pass


def test_one_that_stands_by_serves_when_the_first_was_killed(store: Path) -> None:
    with serving(store) as served:
        second = start(store, "pfs", "serve", "--standby", "--port", "0")
        assert second.stderr is not None
        assert second.stdout is not None
        assert (
            f"standing by: the pipelines are run by process {served.process.pid}" in second.stderr.readline().decode()
        )
        served.process.kill()
        assert "took the pipelines over" in second.stderr.readline().decode()
        assert "serving S3" in second.stdout.readline().decode()
        second.terminate()
        second.communicate(timeout=60)
        assert second.returncode == 0


def test_one_that_stands_by_can_be_stopped(store: Path) -> None:
    with serving(store) as served:
        second = start(store, "pfs", "serve", "--standby", "--port", "0")
        assert second.stderr is not None
        assert "standing by" in second.stderr.readline().decode()
        second.terminate()
        assert second.communicate(timeout=60) == (b"", b"")
        assert (second.returncode, served.process.poll()) == (0, None)


def test_a_wrong_secret_reads_nothing(store: Path) -> None:
    with serving(store, "--no-pipelines") as served:
        s3 = client(served.url, served.access_key, "wrong")
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            s3.get_object(Bucket="r", Key="a")  # type: ignore[attr-defined]
        s3.close()  # type: ignore[attr-defined]
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_taken_port_is_one_line(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    init(other).close()
    with serving(store, "--no-pipelines") as served:
        port = served.url.rpartition(":")[2]
        refused = start(other, "pfs", "serve", "--no-pipelines", "--port", port)
        _, said = refused.communicate(timeout=60)
        line = f"pfs: cannot listen on 127.0.0.1:{port}: address already in use; choose another host or port\n"
        assert (refused.returncode, said.decode()) == (5, line)


def can_mount() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace for a small file system")
@pytest.mark.parametrize("options", [["--no-pipelines"], ["--no-s3"], []])
def test_a_full_disk_is_one_line_that_says_where_and_what_to_do(tmp_path: Path, options: list[str]) -> None:
    script = 'mount -t tmpfs -o size=24m none "$1" && "$2" init "$1" && cd "$1" && { cat /dev/zero >fill; exec "$@"; }'
    pfs = str(BIN / "pfs")
    command = ["unshare", "-Urm", "bash", "-c", script.replace('"$@"', '"${@:2}"'), "sh", str(tmp_path), pfs, "serve"]
    done = subprocess.run(
        [*command, "--port", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(tmp_path),
    )
    assert done.returncode == 5, done
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"pfs: cannot write {tmp_path}/.pfs/run/serve.lock: no space left on the device"), line
    assert line.endswith("free space and try again"), line


def test_wrong_options(store: Path) -> None:
    run(store, "pfs", "serve", "--no-s3", "--no-pipelines", code=2)
    run(store, "pfs", "serve", "--tls-cert", "x.pem", code=2)
    run(store, "pfs", "serve", "--anonymous-read", "none", "--port", "0", code=3)
    run(store, "pfs", "serve", "--audit-log", "", "--port", "0", code=2)
    run(store, "pfs", "serve", "--audit-log", store / "no" / "log", "--port", "0", code=5)


def test_all_workers_write_one_audit_log(store: Path) -> None:
    log = store / "audit.log"
    with serving(store, "--no-pipelines", "--workers", "2", "--audit-log", str(log)) as served:
        for _ in range(8):  # a connection each
            s3 = client(served.url, served.access_key, served.secret_key)
            s3.get_object(Bucket="r", Key="a")["Body"].read()  # type: ignore[attr-defined]
            s3.close()  # type: ignore[attr-defined]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["operation"], line["key"], line["status"]) for line in lines] == [("GetObject", "a", 200)] * 8


def test_jobs_go_on_when_the_reader_of_the_log_is_gone(store: Path) -> None:
    (store / "p.json").write_text(
        '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "r", "glob": "/*"}},'
        ' "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/r/* /pfs/out/"]}}'
    )
    with serving(store) as served:
        assert served.process.stderr is not None
        served.process.stderr.close()
        run(store, "pps", "create-pipeline", "-f", "p.json")
        run(store, "pps", "run")
        (store / "b").write_bytes(b"more")
        run(store, "pfs", "put-file", "r@master", "-f", "b")
        run(store, "pps", "run")
        assert run(store, "pfs", "get-file", "p@master:/b") == "more"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=30) == 0
        served.process.stderr = None


def test_names_cannot_speak_to_the_terminal(store: Path) -> None:
    with serving(store, "--no-pipelines") as served:
        s3 = client(served.url, served.access_key, served.secret_key)
        s3.put_object(Bucket="r", Key="\x1b[31mred\n", Body=b"x")  # type: ignore[attr-defined]
        s3.close()  # type: ignore[attr-defined]
    assert "\\x1b[31mred\\x0a" in run(store, "pfs", "list-file", "r@master")
