"""What the rules draw: names, paths, contents, and whether the other process does it."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

REPOS = st.sampled_from(["a", "b", "c"])
BRANCHES = st.sampled_from(["master", "master", "dev", "side"])
TAGS = st.sampled_from(["v1", "v2", "side"])
PATHS = st.sampled_from(["/a", "/b", "/d/a", "/d/b", "/d/e/f", "/g/h"])
FOLDERS = st.sampled_from(["/d", "/d/e", "/g", "/"])


@cache
def content(size: int) -> bytes:
    """Return the content of a file of a size: the same object each time, since machines hold many."""
    return (bytes(range(251)) * 720)[:size]


BYTES = st.sampled_from([0, 1, 2, 3, 30_000, 180_000]).map(content)
FILES = st.dictionaries(PATHS, BYTES, min_size=1, max_size=4)
SIDES = st.sampled_from([None, None, "ours", "theirs"])
THERE = st.booleans()
"""Whether the other process does it."""
PICK = st.integers(0, 11)
"""Which of what there is: the small ones are the newest."""
NO_COMMIT = "0" * 32
