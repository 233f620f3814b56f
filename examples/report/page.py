"""A table as a page."""

import sys

import pandas as pd

source, target, year, currency = sys.argv[1:]
table = pd.read_csv(source).rename(columns={"amount": f"amount, {currency}"})
with open(target, "w") as page:
    page.write(f"<title>Sales {year}</title>\n{table.to_html(index=False)}\n")
