"""What a store keeps, and for how long: retention rules, purge, and what all of it takes up."""
