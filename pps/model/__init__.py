"""What pipelines and jobs are: their states as pure functions, their records as stored, their shapes for the caller."""
