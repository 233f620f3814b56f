"""Files of tasks that hand artifacts on: reading them, compiling them to pipelines, runs (docs/workflows.md)."""
