"""Objects for a bucket are in memory once: while they are collected, signed and sent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.backends import collected
from pfs.backends.collected import Collected
from tests.pfs.bucket_world import BUCKET, World

PIECES = st.lists(st.lists(st.binary(max_size=40).map(bytes), max_size=4), max_size=12)


@given(PIECES)
def test_what_is_added_is_there(pieces: list[list[bytes]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collected, "SMALL_BYTES", 16)
        patch.setattr(collected, "MAPPED_BYTES", 100)
        one, all_of_it = Collected(), b""
        for some in pieces:
            one.add([memoryview(some[0]), *map(bytearray, some[1:])] if some else [])
            all_of_it += b"".join(some)
        assert one.take() == all_of_it


PUTTER = """
import http.client, sys, tracemalloc
from pfs.backends.s3 import S3Backend
from pfs.backends.s3_place import S3Options
backend = S3Backend(sys.argv[1], S3Options(endpoint=sys.argv[2]))
backend.put_new("packs/d/0", b"0")  # loads what is needed
piece = bytes(1 << 20)
sent, send = [], http.client.HTTPConnection.send
http.client.HTTPConnection.send = lambda self, data: (sent.append(len(data)), send(self, data))[1]
tracemalloc.start()
made = backend.create("packs/d/1")
for _ in range(48):
    made.write(piece)
assert made.publish()
print(tracemalloc.get_traced_memory()[1] >> 20, max(sent))
"""


def test_an_object_is_in_memory_once_while_it_is_put_in_pieces(bucket: World) -> None:
    command = [sys.executable, "-c", PUTTER, f"s3://{BUCKET}/once", bucket.url]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True)
    # 48 MiB, and what a buffer that grows has in reserve, which is memory that was never touched.
    most, longest = map(int, done.stdout.split())
    assert 48 <= most < 60
    assert longest == 256 << 10  # whatever a call sends must be gone before the time-out of a call
    assert [asked.size for asked in bucket.asked if asked.is_write] == [1, 48 << 20]
