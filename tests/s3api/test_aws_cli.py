"""The aws CLI, unmodified: ls, cp, sync, rm, presign; a wrong secret."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.s3api.conftest import Server

AWS = Path(sys.executable).parent / "aws"
pytestmark = pytest.mark.skipif(not AWS.exists(), reason="the aws CLI is not installed (extra dev)")


def aws(server: Server, *arguments: str, secret: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": server.key.access_key,
        "AWS_SECRET_ACCESS_KEY": secret or server.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    command = [str(AWS), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_usual_commands(server: Server, bucket: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub dir").mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "sub dir" / "b é+.bin").write_bytes(os.urandom(9 << 20))
    first = aws(server, "s3", "sync", str(source), f"s3://{bucket}/data")
    assert first.stdout.count("upload:") == 2, first.stderr
    again = aws(server, "s3", "sync", str(source), f"s3://{bucket}/data")
    assert (again.returncode, again.stdout) == (0, "")
    listed = aws(server, "s3", "ls", "--recursive", f"s3://{bucket}")
    assert "data/sub dir/b é+.bin" in listed.stdout
    aws(server, "s3", "cp", f"s3://{bucket}/data/sub dir/b é+.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (source / "sub dir" / "b é+.bin").read_bytes()
    copied = aws(server, "s3", "cp", f"s3://{bucket}/data/sub dir/b é+.bin", f"s3://{bucket}/copy")
    assert copied.returncode == 0, copied.stderr
    url = aws(server, "s3", "presign", f"s3://{bucket}/data/a.txt").stdout.strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"a"
    removed = aws(server, "s3", "rm", "--recursive", f"s3://{bucket}")
    assert removed.stdout.count("delete:") == 3, removed.stderr
    assert server.store.repo(bucket)["master"].tree.root.count == 0


def test_a_wrong_secret(server: Server, bucket: str) -> None:
    result = aws(server, "s3", "ls", f"s3://{bucket}", secret="wrong")
    assert result.returncode != 0
    assert "SignatureDoesNotMatch" in result.stderr
