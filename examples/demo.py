"""The main job on real photos and real tables: `make demo`.

Commits photos, runs an edge-detection pipeline and a montage over its output, adds one photo and shows that only its
datum runs, reads the results over S3 with boto3 and compares the bytes. Prints every command before it runs. Leaves the
store in ./demo, the picture beside it, and no process.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
DEMO = Path("demo").absolute()
BIN = Path(sys.executable).parent
ENV = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PFS_STORE": str(DEMO)}
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "hubble_deep_field.jpg", "moon.png")
NEW_PHOTO = "rocket.jpg"
TABLES = ("iris", "wine", "breast_cancer")


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def run(*words: str | Path) -> None:
    """Print a command, then run it; the demo ends where one fails."""
    line = [str(word) for word in words]
    print("$ " + shlex.join(line), flush=True)
    subprocess.run(line, env=ENV, check=True)


def ask(*words: str | Path) -> object:
    """Run a command with --json, quietly, and return what it answers."""
    done = subprocess.run([str(word) for word in words], env=ENV, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def newest_job(pipeline: str) -> dict[str, int]:
    jobs = ask("pps", "list-job", "-p", pipeline, "--json")
    assert isinstance(jobs, list)
    return jobs[0]


def photo_folder() -> Path:
    """Return the folder of the photos that ship inside scikit-image."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


def write_table(name: str) -> None:
    """Write one of the tables that ship inside scikit-learn as CSV with the names of its columns."""
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    with (DEMO / "tables" / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.feature_names, "kind"])
        writer.writerows(
            [*values, table.target_names[kind]] for values, kind in zip(table.data, table.target, strict=True)
        )


def collect() -> None:
    """Copy the photos and tables into ./demo, and leave one photo for later."""
    (DEMO / "photos").mkdir(parents=True)
    (DEMO / "tables").mkdir()
    for name in PHOTOS:
        shutil.copy(photo_folder() / name, DEMO / "photos")
    for name in TABLES:
        write_table(name)
    shutil.copy(photo_folder() / NEW_PHOTO, DEMO)


def read_over_s3(port: int) -> None:
    """Read results with boto3 and compare them with what get-file gives."""
    import boto3

    answer = ask("pfs", "credentials", "--json")
    assert isinstance(answer, dict)
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=answer["access_key"],
        aws_secret_access_key=answer["secret_key"],
    )
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    print(">>> s3.list_buckets()\n   ", ", ".join(buckets))
    for bucket in ("edges", "montage", "summary"):
        for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            command = ["pfs", "get-file", f"{bucket}@master:/{item['Key']}"]
            same = subprocess.run(command, env=ENV, check=True, stdout=subprocess.PIPE).stdout == body
            print(f">>> s3.get_object(Bucket={bucket!r}, Key={item['Key']!r})  {len(body)} bytes, same bytes: {same}")
            if not same:
                sys.exit("the bytes over S3 are not those of the commit")
    s3.close()


def serve_and_read() -> None:
    """Start the gateway on a free port, read through it, and stop it."""
    command = ["pfs", "serve", "--port", "0", "--no-pipelines"]
    print("$ " + shlex.join(command) + " &", flush=True)
    server = subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        print(line, end="")
        read_over_s3(int(line.split("127.0.0.1:")[1].split()[0].rstrip("/")))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    print("$ kill %1   # the gateway has drained and stopped")


def main() -> None:
    if DEMO.exists() and not (DEMO / ".pfs").exists() and any(DEMO.iterdir()):
        sys.exit(f"{DEMO} exists and is not the folder of an earlier demo: move it away")
    shutil.rmtree(DEMO, ignore_errors=True)
    collect()
    shown = Path("demo")

    say("A store is a folder. Repos hold commits; photos and tables are committed.")
    run("pfs", "init", shown)
    print("$ export PFS_STORE=demo")
    run("pfs", "doctor")
    run("pfs", "create-repo", "photos", "-d", "photos that ship with scikit-image")
    run("pfs", "create-repo", "tables", "-d", "tables that ship with scikit-learn")
    run("pfs", "put-file", "photos@master", "-r", "-f", shown / "photos", "-m", "the first photos")
    run("pfs", "put-file", "tables@master", "-r", "-f", shown / "tables", "-m", "three tables")
    run("pfs", "list-file", "photos@master")

    say("Pipelines: outlines of each photo, a montage over photos and outlines, statistics of each table.")
    for spec in ("photos/edges.json", "photos/montage.yaml", "tables/summary.json"):
        run("pps", "create-pipeline", "-f", os.path.relpath(EXAMPLES / spec))
    run("pps", "run")
    run("pps", "list-job")
    run("pfs", "get-file", "summary@master:/iris.csv")

    say(f"One photo more, {NEW_PHOTO}: only its datum runs, the others are skipped.")
    run("pfs", "put-file", "photos@master", "-f", shown / NEW_PHOTO)
    run("pps", "run")
    job = newest_job("edges")
    print(f"edges: {job['data_processed']} datum processed, {job['data_skipped']} skipped of {job['data_total']}")
    if (job["data_processed"], job["data_skipped"]) != (1, len(PHOTOS)):
        sys.exit("not just the new photo was processed")

    say("Nothing has changed: nothing runs.")
    run("pps", "run")

    say("Every repo is an S3 bucket: read the results with boto3.")
    serve_and_read()

    picture = shown / "montage.png"
    say("The picture:")
    run("pfs", "get-file", "montage@master:/montage.png", "-o", picture)
    run("pfs", "fsck", "--deep")
    print(f"\nDone: {picture}")
    print("Go on:  . .venv/bin/activate; export PFS_STORE=demo; pfs list-repo; pfs serve; pps --help")


if __name__ == "__main__":
    main()
