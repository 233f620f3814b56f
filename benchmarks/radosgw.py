"""A real S3 server to compare with: Debian's radosgw on one monitor and one OSD in memory, all on the loopback address.

`python -m benchmarks.radosgw` installs it (as root, with apt-get), starts it and says where it listens until Ctrl-C;
with a command behind it, it runs that, and tells it by PFS_TEST_S3 and the AWS variables where the server is.
Nothing is left behind but the packages: all files are in a temporary folder. It is up some ten seconds after the start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.servers import Server, free_port, wait_for

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd", "ceph-base", "ceph-common")
PROGRAMS = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "monmaptool")
KEY, SECRET = "BENCHBENCHBENCHBENCH", "benchbenchbenchbenchbenchbenchbenchbench"
START_S = 120
COLD = "STANDARD_IA"
"""A second storage class, to move objects to."""

# Without authentication inside, connections to the monitor must be plain ("crc"): radosgw asks for encrypted ones, and
# then tries for ever. Never set `rgw torrent flag`: failed conditional writes would answer 200.
CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_old}]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind ipv6 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {folder}
admin socket =
pid file =
log file = {folder}/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 6442450944
[mon.a]
host = localhost
mon data = {folder}/mon
[osd.0]
host = localhost
osd data = {folder}/osd
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw data = {folder}/rgw
rgw enable usage log = false
rgw enable ops log = false
debug rgw = 0
"""


def install() -> str | None:
    """Install what is missing; return why that is not possible, None when all is there."""
    if all(map(shutil.which, PROGRAMS)):
        return None
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "it is not installed, and only root can do that, with apt-get"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"apt-get {command[0]} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return None


@contextmanager
def radosgw() -> Iterator[Server | None]:
    """Start it, installing it first; None, and one line on stderr, where that is not possible."""
    with ExitStack() as stack:
        server = None
        try:
            reason = install()
            server = None if reason else stack.enter_context(_running())
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reason = str(error)
        if server is None:
            print(f"no radosgw ({reason}): going on without it", file=sys.stderr)
        yield server


@contextmanager
def _running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="rgw-") as name, ExitStack() as stack:
        folder, fsid, port = Path(name), str(uuid.uuid4()), free_port()
        for part in ("mon", "osd", "rgw"):
            (folder / part).mkdir()
        mon, mon_old = free_port(), free_port()
        config = folder / "ceph.conf"
        config.write_text(CONFIG.format(folder=folder, fsid=fsid, mon=mon, mon_old=mon_old, port=port))
        addresses = f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_old}]"
        _do(config, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, f"{folder}/monmap")
        _do(config, "ceph-mon", "-i", "a", "--mkfs", "--monmap", f"{folder}/monmap")
        _start(stack, config, ["ceph-mon", "-i", "a", "-f"])
        # The monitor takes an OSD that it was told of before, by this id: then it is under the default root.
        _do(config, "ceph", "osd", "new", fsid)
        _do(config, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", fsid)
        osd = _start(stack, config, ["ceph-osd", "-i", "0", "-f"])
        user = ["user", "create", "--uid=bench", "--display-name=bench", f"--access-key={KEY}", f"--secret={SECRET}"]
        _do(config, "radosgw-admin", *user)
        for level, at in (("zonegroup", ("--rgw-zonegroup", "default")), ("zone", ("--rgw-zone", "default"))):
            target = [level, "placement", "add", *at, "--placement-id", "default-placement", "--storage-class", COLD]
            pool = ["--data-pool", "default.rgw.cold.data"] if level == "zone" else []
            _do(config, "radosgw-admin", *target, *pool)
        gateway = _start(stack, config, ["radosgw", "-n", "client.admin", "-f"])
        wait_for(port, gateway, timeout_s=START_S)
        yield Server("radosgw", port, (gateway.pid, osd.pid), KEY, SECRET)


def _start(stack: ExitStack, config: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = stack.enter_context(subprocess.Popen([*command, "-c", str(config)], **quiet))  # type: ignore[call-overload]
    stack.callback(process.kill)
    return process  # type: ignore[no-any-return]


def _do(config: Path, *command: str) -> None:
    """Run a tool to its end; raises RuntimeError with its last line, or TimeoutExpired."""
    with_config = [*command] if command[0] == "monmaptool" else [*command, "-c", str(config)]
    environment = os.environ | {"CEPH_CONF": str(config)}
    done = subprocess.run(with_config, env=environment, capture_output=True, text=True, timeout=START_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def main() -> None:
    """Start it for use by hand, until an interrupt or SIGTERM; or for the command that is given, and its exit code."""
    if sys.argv[1:2] in (["--help"], ["-h"]):
        print(__doc__)
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    with radosgw() as server:
        if server is None:
            raise SystemExit(1)
        keys = {"AWS_ACCESS_KEY_ID": server.key, "AWS_SECRET_ACCESS_KEY": server.secret}
        if sys.argv[1:]:
            raise SystemExit(
                subprocess.run(sys.argv[1:], env={**os.environ, **keys, "PFS_TEST_S3": server.url}).returncode
            )
        print(server.url, *(f"{name}={value}" for name, value in keys.items()), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
