"""The face on jobs and datums: listing, logs, explanations, orders to a running controller."""
