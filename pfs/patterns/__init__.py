"""Glob patterns: their syntax, and matching them in bounded time."""
