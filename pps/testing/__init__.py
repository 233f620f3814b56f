"""Stand-ins and stores for tests and benchmarks of what pipelines cost beside their commands."""
