"""Write the names of the restaurants that have most stars."""

import json
from pathlib import Path

rows = json.loads(Path("/pfs/query/output.json").read_text())
most = max(row["stars"] for row in rows)
Path("/pfs/out/best").write_text("".join(f"{row['name']}\n" for row in rows if row["stars"] == most))
