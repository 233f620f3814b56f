"""Commit so many messages, of 1 KB and 2 KB in turn, then wait for more: consumer.py COUNT."""

import os
import sys
import threading

import pfs

with pfs.open() as store:
    repo = store.repo(os.environ["PPS_PIPELINE_NAME"])
    for number in range(int(sys.argv[1])):
        with repo.commit("master", message=f"message {number}") as commit:
            commit.put_file(f"/message-{number}", bytes([ord("a") + number]) * 1024 * (1 + number % 2))
        print(f"message {number} is there", flush=True)
threading.Event().wait()
