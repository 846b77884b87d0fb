"""The image every stage runs in."""

IMAGE = "localhost/tsa-python:dev"
"""What `make image` builds. `pipeline.py compile --image` puts another reference into the compiled pipeline,
for a cluster best one with a digest. The name contains "python", which kfp's local runner looks for."""
