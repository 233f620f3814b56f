"""From commits to jobs: what is due, a job from its plan to its output commit, and the loop over all of them."""
