"""Write for each page a folder with a file for each of its words that holds how often it comes."""

import re
import sys
from collections import Counter
from pathlib import Path

given, made = map(Path, sys.argv[1:])
for page in given.rglob("*"):
    if page.is_file():
        folder = made / "-".join(page.relative_to(given).parts)
        folder.mkdir()
        for word, times in Counter(re.findall("[a-z]+", page.read_text().lower())).items():
            (folder / word).write_text(f"{times}\n")
