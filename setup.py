"""Build the optional native chunker; everything else is in pyproject.toml.

PFS_BUILD=strict makes the compiler's warnings and a failed build errors (used by the checks);
PFS_BUILD=pure leaves the kernel out.
"""

import os

from setuptools import Extension, setup

mode = os.environ.get("PFS_BUILD", "")
kernel = Extension(
    "pfs._cdc",
    sources=["pfs/_cdc.c"],
    depends=["pfs/_cdc_scan.h", "pfs/_cdc_lanes.h", "pfs/_cdc_variants.h"],
    extra_compile_args=["-O3", "-std=c11"] + (["-Wall", "-Wextra", "-Werror"] if mode == "strict" else []),
    optional=mode != "strict",
)
setup(ext_modules=[] if mode == "pure" else [kernel])
