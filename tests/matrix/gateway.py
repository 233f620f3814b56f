"""Scenarios of the S3 gateway: requests of a real client, whose answer is the acknowledgement."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from pfs.backends.base import Backend
from pfs.errors import StorageError
from pfs.store import Store
from tests.matrix.place import Place
from tests.matrix.scenario import Scenario
from tests.matrix.world import prepare, text
from tests.s3api.conftest import running

_UPLOAD = "upload.json"
Request = Callable[[BaseClient, Path], object]


def asked(request: Request) -> Callable[[Place, Backend], None]:
    """Return what sends a request to a gateway of its own; an error in the answer is no acknowledgement."""

    def act(place: Place, backend: Backend) -> None:
        try:
            with place.open(backend) as store, running(store) as server, closing(server.client()) as s3:
                request(s3, place.top)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("serve a request", str(error)) from error

    return act


def uploaded(store: Store, top: Path) -> None:
    """Upload all of an object but its end."""
    prepare(store, top)
    with running(store) as server, closing(server.client()) as s3:
        place: dict[str, Any] = {"Bucket": "data", "Key": "parts"}
        place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
        tag = s3.upload_part(**place, PartNumber=1, Body=text("part"))["ETag"]
    complete = {**place, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": tag}]}}
    (top / _UPLOAD).write_text(json.dumps(complete))


def complete(s3: BaseClient, top: Path) -> None:
    s3.complete_multipart_upload(**json.loads((top / _UPLOAD).read_text()))


def put_object(s3: BaseClient, _: Path) -> None:
    s3.put_object(Bucket="data", Key="put", Body=text("put"))


def delete_objects(s3: BaseClient, _: Path) -> None:
    s3.delete_objects(Bucket="data", Delete={"Objects": [{"Key": "d/x"}, {"Key": "c"}]})


SCENARIOS = (
    Scenario("S3 PutObject", asked(put_object), prepare),
    Scenario("S3 DeleteObjects", asked(delete_objects), prepare),
    Scenario("S3 CompleteMultipartUpload", asked(complete), uploaded),
)
