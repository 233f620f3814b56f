"""Fetch the clients of `make test-clients` that are not in its venvs, in the versions named here, into one folder.

    python tests/clients/install.py FOLDER [--without NAME ...]

Only package registries are asked: the Go module proxy, npm, Maven Central, PyPI, Debian. Nothing outside the folder
changes but the caches of these tools. What cannot be had (no Go here, no Java, no network) is written down with its
reason, and the tests of that client are skipped with it. What is there in the right version is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 1800  # for one step; a Go client takes two minutes to build on one core


class UnavailableError(Exception):
    """A client cannot be had on this machine; says why in one line."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to get a client: ``make`` fills a folder and returns the path of what is run, in it."""

    name: str
    version: str
    make: Callable[[Path, str], Path]
    sources: tuple[str, ...] = ()  # files beside this one that go into it

    @property
    def fingerprint(self) -> str:
        """Changes with the version and the sources; after another change of a recipe, remove the client's folder."""
        parts = [self.version.encode(), *((HERE / name).read_bytes() for name in self.sources)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


def run(*line: object, cwd: Path, **environment: str) -> str:
    """Run a command and return what it prints."""
    words = [str(word) for word in line]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`{' '.join(words[:3])}` took more than {LIMIT_S} s") from None
    if done.returncode:
        said = [text for text in (done.stderr + done.stdout).splitlines() if text.strip()]
        raise UnavailableError(f"`{' '.join(words[:3])}` failed: {' / '.join(said[-3:])[:400]}")
    return done.stdout


def need(tool: str, package: str) -> str:
    """Return the path of a tool, which a system package has."""
    found = shutil.which(tool)
    if found is None:
        raise UnavailableError(f"{tool} is not installed (Debian package {package})")
    return found


def go(package: str, requires: dict[str, str], source: str | None = None) -> Callable[[Path, str], Path]:
    """Build a Go program: a package of a module, or a source of ours that uses some; Go's checksum database vouches."""

    def make(folder: Path, version: str) -> Path:
        tool = need("go", "golang")
        lines = [f"require {module} {wanted or version}" for module, wanted in requires.items()]
        (folder / "go.mod").write_text("\n".join(["module clients", "go 1.24", *lines, ""]))
        if source is not None:
            shutil.copy(HERE / source, folder / "main.go")
        # -mod=mod and no `go get`: it wants a module's list of versions, which not every proxy gives
        run(tool, "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-o", folder / "program", package, cwd=folder)
        return folder / "program"

    return make


def npm(folder: Path, version: str) -> Path:
    """Install the packages of js/package.json beside the program that uses them."""
    need("node", "nodejs")
    for name in ("package.json", "client.mjs"):
        shutil.copy(HERE / "js" / name, folder / name)
    run(need("npm", "npm"), "install", "--no-audit", "--no-fund", "--omit=dev", cwd=folder)
    return folder / "client.mjs"


def jars(pom: str, folder: Path) -> Path:
    """Fetch what a pom.xml depends on into a folder of jars."""
    need("java", "openjdk-17-jre-headless")
    shutil.copy(HERE / pom, folder / "pom.xml")
    line = ("-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime")
    run(need("mvn", "maven"), *line, cwd=folder)
    return folder / "jars"


def java(folder: Path, version: str) -> Path:
    """Compile the program of java/ against the SDK."""
    path = f"{jars('java/pom.xml', folder)}/*"
    run(
        need("javac", "openjdk-17-jdk-headless"),
        "-cp",
        path,
        "-d",
        folder / "classes",
        HERE / "java/Client.java",
        cwd=folder,
    )
    return folder / "classes"


def pip(*packages: str, program: str) -> Callable[[Path, str], Path]:
    """Install Python packages where nobody else's can be in the way."""

    def make(folder: Path, version: str) -> Path:
        wanted = [name.format(version=version) for name in packages]
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "python", *wanted, cwd=folder)
        return folder / "python" / program

    return make


def spark(folder: Path, version: str) -> Path:
    """Install Spark, and the jars with which it speaks to S3."""
    jars("spark/pom.xml", folder)
    return pip("pyspark=={version}", program="pyspark")(folder, version)


def debian(*packages: str, program: str) -> Callable[[Path, str], Path]:
    """Unpack Debian packages without installing them: that needs no rights, only the libraries that they use."""

    def make(folder: Path, version: str) -> Path:
        run(need("apt-get", "apt"), "download", *packages, cwd=folder)
        for package in folder.glob("*.deb"):
            run(need("dpkg", "dpkg"), "-x", package, folder, cwd=folder)
        missing = [
            line.split()[0] for line in run("ldd", folder / program, cwd=folder).splitlines() if "not found" in line
        ]
        if missing:
            raise UnavailableError(
                f"libraries are missing: {', '.join(missing)} (install the Debian package {packages[0]})"
            )
        return folder / program

    return make


def fuse(folder: Path, version: str) -> Path:
    """Get s3fs-fuse, where something can be mounted."""
    if not Path("/dev/fuse").exists():
        raise UnavailableError("there is no /dev/fuse")
    need("fusermount", "fuse3")
    return debian("s3fs", program="usr/bin/s3fs")(folder, version)


_AWS_GO = {
    "github.com/aws/aws-sdk-go-v2": "v1.47.3",
    "github.com/aws/aws-sdk-go-v2/config": "v1.33.9",
    "github.com/aws/aws-sdk-go-v2/credentials": "v1.20.9",
    "github.com/aws/aws-sdk-go-v2/feature/s3/manager": "v1.23.14",
    "github.com/aws/aws-sdk-go-v2/service/s3": "",
    "github.com/aws/smithy-go": "v1.28.5",
}
RECIPES = (
    Recipe("aws-sdk-go-v2", "v1.114.3", go(".", _AWS_GO, "go/sdk/main.go"), ("go/sdk/main.go",)),
    Recipe("aws-sdk-java", "2.57.8", java, ("java/pom.xml", "java/Client.java")),
    Recipe("aws-sdk-js", "3.1169.0", npm, ("js/package.json", "js/client.mjs")),
    Recipe("mc", "v0.0.0-20250313080218-cf909e1063a9", go("github.com/minio/mc", {"github.com/minio/mc": ""})),
    Recipe("rclone", "v1.76.0", go(".", {"github.com/rclone/rclone": ""}, "go/rclone/main.go"), ("go/rclone/main.go",)),
    Recipe("restic", "v0.18.0", go("github.com/restic/restic/cmd/restic", {"github.com/restic/restic": ""})),
    Recipe("rsync", "Debian's", debian("rsync", program="usr/bin/rsync")),
    Recipe("s3cmd", "2.4.0", pip("s3cmd=={version}", program="bin/s3cmd")),
    Recipe("s3fs-fuse", "Debian's", fuse),
    Recipe("s5cmd", "v2.3.0", go("github.com/peak/s5cmd/v2", {"github.com/peak/s5cmd/v2": ""})),
    Recipe("spark", "4.1.2", spark, ("spark/pom.xml",)),
)


def install(recipe: Recipe, root: Path) -> dict[str, str]:
    """Make a client unless it is there; return its record: path and version, or the reason why there is none."""
    folder, record = root / recipe.name, root / f"{recipe.name}.json"
    if record.exists():
        found: dict[str, str] = json.loads(record.read_text())
        if found["fingerprint"] == recipe.fingerprint and "path" in found:
            return found
    print(f"{recipe.name} {recipe.version} ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = {"fingerprint": recipe.fingerprint, "version": recipe.version}
    try:
        made["path"] = str(recipe.make(folder, recipe.version))
    except UnavailableError as error:
        made["reason"] = str(error)
    record.write_text(json.dumps(made))
    return made


def main() -> None:
    """Install all that can be had and say what cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", choices=[recipe.name for recipe in RECIPES])
    arguments = parser.parse_args()
    root = arguments.folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        if recipe.name not in arguments.without:
            made = install(recipe, root)
            if "reason" in made:
                print(f"{recipe.name}: cannot be had here, so its tests are skipped: {made['reason']}")


if __name__ == "__main__":
    main()
