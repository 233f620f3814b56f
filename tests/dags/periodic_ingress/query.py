"""Print all rows of a table of an SQLite database as JSON: query.py FILE TABLE."""

import json
import sqlite3
import sys

with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as database:
    rows = database.execute(f"select name, stars from {sys.argv[2]} order by name").fetchall()
print(json.dumps([{"name": name, "stars": stars} for name, stars in rows]))
