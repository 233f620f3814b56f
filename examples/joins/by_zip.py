"""Put what was joined with a store into the folder of the store's zip code; what has no partner is put by name."""

import json
import sys
from pathlib import Path

other = sys.argv[1]
stores = sorted(Path("/pfs/stores").glob("*")) if Path("/pfs/stores").exists() else []
orders = sorted(Path(f"/pfs/{other}").glob("*")) if Path(f"/pfs/{other}").exists() else []
zip_code = json.loads(stores[0].read_text())["address"]["zipcode"] if stores else "UNKNOWN"
folder = Path("/pfs/out") / zip_code
folder.mkdir()
for order in orders:
    (folder / order.name).write_text(order.read_text())
if not orders:
    (folder / f"{stores[0].stem}_none.txt").write_text(f"no {other} in {stores[0].stem}\n")
