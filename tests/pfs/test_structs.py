"""Structs are made ready once, before threads decode them."""

import subprocess
import sys

PROGRAM = """
import sys, threading, types
import msgspec
from pfs.structs import ready
sys.setswitchinterval(1e-6)
SOURCE = '''
from __future__ import annotations
import msgspec
class Inner(msgspec.Struct):
    x: int
    y: dict[str, list[int]]
class Outer(msgspec.Struct):
    a: Inner
    b: dict[str, Inner]
    c: list[Inner]
'''
DATA = {"a": {"x": 1, "y": {}}, "b": {"k": {"x": 1, "y": {"q": [1]}}}, "c": []}
def decode(form, barrier, found):
    barrier.wait()
    found.append(msgspec.convert(DATA, ready(form)))
for number in range(200):
    module = sys.modules[f"made{number}"] = types.ModuleType(f"made{number}")
    exec(SOURCE, module.__dict__)
    barrier, found = threading.Barrier(8), []
    threads = [threading.Thread(target=decode, args=(module.Outer, barrier, found)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
print("all")
"""


def test_threads_that_decode_a_struct_for_the_first_time() -> None:
    """In a process of its own: without being made ready, struct and threads end it by a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr
