"""Which rows of a table changed: CSV, JSON Lines and Parquet, in bounded memory (docs/design/row-diff.md)."""
