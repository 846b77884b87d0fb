"""What became of every run on this machine: a record per run, and pages over all of them."""
