"""Starting the pipeline: its compiled form, the resources of its stages; imports settings and files."""
