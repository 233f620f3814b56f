"""kill -9 of the server in the middle of uploads: nothing partial, nothing lost, nothing left after a collection."""

import os
import random
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.s3api.test_room import a_process

ROUNDS = [pytest.param(4), pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
PART = 5 << 20


@dataclass
class Client:
    """What one client sent under which key, and what of it was acknowledged."""

    name: str
    chance: random.Random
    sent: dict[str, bytes] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    ended: Exception | None = None

    def work(self, client: BaseClient, work: str) -> None:
        """Write objects until the server is gone."""
        self.ended = None
        with closing(client):
            try:
                while True:
                    key = f"{self.name}/{work}/{len(self.sent)}"
                    self.sent[key] = self.chance.randbytes(self.chance.choice([100, 70_000, PART + 5]))
                    getattr(self, work)(client, key)
                    self.acknowledged.add(key)
            except (BotoCoreError, ClientError) as error:
                self.ended = error

    def put(self, client: BaseClient, key: str) -> None:
        client.put_object(Bucket="r", Key=key, Body=self.sent[key])

    def parts(self, client: BaseClient, key: str) -> None:
        self.sent[key] += self.chance.randbytes(PART)
        place = {"Bucket": "r", "Key": key}
        upload = client.create_multipart_upload(**place)["UploadId"]
        data, done = self.sent[key], []
        for number, body in ((2, data[PART:]), (1, data[:PART])):
            tag = client.upload_part(**place, UploadId=upload, PartNumber=number, Body=body)["ETag"]
            done.insert(0, {"PartNumber": number, "ETag": tag})
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": done})


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killed_in_the_middle(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    clients = [Client(f"{number}", random.Random(number)) for number in range(3)]
    for _ in range(rounds):
        with a_process(tmp_path) as (process, server):
            works = [
                threading.Thread(target=one.work, args=(server.client(), work))
                for one, work in zip(clients, ("put", "parts", "parts"), strict=True)
            ]
            enough = sum(len(one.acknowledged) for one in clients) + chance.randrange(6)
            for thread in works:
                thread.start()
            while sum(len(one.acknowledged) for one in clients) < enough:
                assert all(thread.is_alive() for thread in works), (process.poll(), [one.ended for one in clients])
                works[0].join(0.001)
            works[0].join(chance.uniform(0, 0.1))
            process.kill()
            for thread in works:
                thread.join()
            assert not any(isinstance(one.ended, ClientError) for one in clients), [one.ended for one in clients]
    with a_process(tmp_path) as (_, server), closing(server.client()) as client:
        end_uploads(client, clients)
        server.store.collect(min_age_s=0, grace_s=0)
        server.store.collect(min_age_s=0, grace_s=0)
        check(server.store, clients)
        client.put_object(Bucket="r", Key="last", Body=b"1")


def end_uploads(client: BaseClient, clients: list[Client]) -> None:
    """Complete the uploads that have both parts, as their clients would, and abort the others."""
    for upload in client.list_multipart_uploads(Bucket="r").get("Uploads", []):
        place = {"Bucket": "r", "Key": upload["Key"], "UploadId": upload["UploadId"]}
        found = client.list_parts(**place).get("Parts", [])
        if len(found) == 2:
            parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in found]
            client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
            clients[int(upload["Key"][0])].acknowledged.add(upload["Key"])
        else:
            client.abort_multipart_upload(**place)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="r")


def check(store: Store, clients: list[Client]) -> None:
    head, total = store.repo("r")["master"], 0
    there = {row.path.removeprefix("/") for row in head.list(recursive=True) if not row.path.endswith("/")}
    sent = {key: data for one in clients for key, data in one.sent.items()}
    assert {key for one in clients for key in one.acknowledged} <= there <= sent.keys()
    for key in there:
        assert head.read(f"/{key}") == sent[key]
        total += len(sent[key])
    assert list(fsck(store, deep=True)) == []
    kept = sum(path.stat().st_size for path in (store.path / "objects").rglob("*") if path.is_file())
    assert kept < 1.05 * total + (4 << 20)
    assert not (store.path / "tmp").exists() or os.listdir(store.path / "tmp") == []
