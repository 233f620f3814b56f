"""Write the count, mean and standard deviation of each numeric column of each table in /pfs/tables to /pfs/out."""

import csv
import os
import statistics
from pathlib import Path

root = Path(os.environ.get("PFS", "/pfs"))
out = Path(os.environ.get("PFS_OUT", "/pfs/out"))
for table in sorted((root / "tables").glob("*.csv")):
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    with (out / table.name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["column", "count", "mean", "stdev"])
        for index in range(len(header)):
            try:
                values = [float(row[index]) for row in rows]
            except ValueError:
                continue
            mean, stdev = statistics.fmean(values), statistics.stdev(values)
            writer.writerow([header[index], len(values), f"{mean:.4f}", f"{stdev:.4f}"])
    print(f"{table.name}: {len(rows)} rows, {len(header)} columns")
