"""Build the optional native modules: the chunker, what reads many files, and, for Linux, what starts commands.

All else is in pyproject.toml.

PFS_BUILD=strict makes the compiler's warnings and a failed build errors (used by the checks);
PFS_BUILD=pure leaves them out.
"""

import os
import sys

from setuptools import Extension, setup

mode = os.environ.get("PFS_BUILD", "")
warnings = ["-Wall", "-Wextra", "-Werror"] if mode == "strict" else []
chunker = Extension(
    "pfs._cdc",
    sources=["pfs/_cdc.c"],
    depends=["pfs/_cdc_scan.h", "pfs/_cdc_lanes.h", "pfs/_cdc_variants.h"],
    extra_compile_args=["-O3", "-std=c11", *warnings],
    optional=mode != "strict",
)
batch = Extension(
    "pfs._batch",
    sources=["pfs/_batch.c"],
    depends=["pfs/_batch_hash.h"],
    extra_compile_args=["-O3", "-std=gnu11", *warnings],
    optional=mode != "strict",
)
starter = Extension(
    "pps.sandbox._plain",
    sources=["pps/sandbox/_plain.c"],
    depends=["pps/sandbox/_plain_mounts.h", "pps/sandbox/_plain_init.h"],
    extra_compile_args=["-O2", "-std=c11", *warnings],
    optional=mode != "strict",
)
worker = Extension(
    "pps.sandbox._worker",
    sources=["pps/sandbox/_worker.c"],
    depends=["pps/sandbox/_worker_sweep.h"],
    extra_compile_args=["-O2", "-std=c11", *warnings],
    optional=mode != "strict",
)
modules = [chunker, batch, starter, worker] if sys.platform == "linux" else [chunker, batch]
setup(ext_modules=[] if mode == "pure" else modules)
