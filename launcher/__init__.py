"""Ways to start the pipeline: compile it, run it on this machine."""
