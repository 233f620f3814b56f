"""Fetch pages into a folder: fetch.py FOLDER URL..., exit code 8 if the server has no such page, as wget's."""

import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

folder, *urls = sys.argv[1:]
for url in urls:
    try:
        with urlopen(url) as answer:
            page = answer.read()
    except HTTPError as error:
        print(f"{url}: {error}")
        sys.exit(8)
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / url.rpartition("/")[2]).write_bytes(page)
