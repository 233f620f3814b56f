"""Files of a commit sent elsewhere; knows nothing of jobs."""
