"""Count lines with WARNING and ERROR in the log of each datum; the words are compiled once for all datums."""

import os
import re
from pathlib import Path

from pps.batching import batch_all_datums

words = {word: re.compile(rf"\b{word}\b") for word in ("WARNING", "ERROR")}
print(f"process {os.getpid()} starts", flush=True)


@batch_all_datums
def count() -> None:
    (log,) = Path("/pfs/logs").iterdir()
    text = log.read_text()
    if not text:
        raise ValueError(f"{log.name} is empty")
    counts = "".join(f"{word} {len(found.findall(text))}\n" for word, found in words.items())
    Path("/pfs/out", log.name).write_text(counts)


count()
