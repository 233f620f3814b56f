"""Benchmarks: medians and ratios, compared side by side in one run; `make bench`."""
