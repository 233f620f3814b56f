"""Orders and amounts of each region."""

import sys

import pandas as pd

orders = pd.read_csv(sys.argv[1])
table = orders.groupby("region")["amount"].agg(orders="count", amount="sum").round(2)
table.to_csv(sys.argv[2])
