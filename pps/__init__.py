"""pps: the pipeline service: specs, datums, jobs, workers; see docs/architecture.md."""
