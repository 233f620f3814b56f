"""Collection: finding what nothing leads to, and giving its space back, beside running writers."""
