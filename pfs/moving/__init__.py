"""Moving stores: a whole one to another place, commits between two (docs/design/moving.md)."""
