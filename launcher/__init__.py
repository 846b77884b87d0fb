"""Ways to start the pipeline: what is compiled, and what each stage gets; imports settings and files."""
