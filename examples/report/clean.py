"""Keep the orders of one year that can be read; put the others aside, if there are any."""

import sys

import pandas as pd

source, kept, rejected, year = sys.argv[1:]
orders = pd.read_csv(source, dtype=str)
day = pd.to_datetime(orders["day"], errors="coerce")
amount = pd.to_numeric(orders["amount"], errors="coerce")
readable = day.notna() & amount.notna()
orders[readable & (day.dt.year == int(year))].to_csv(kept, index=False)
if not readable.all():
    orders[~readable].to_csv(rejected, index=False)
