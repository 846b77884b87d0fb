"""The service around the online scorer: HTTP in, scores out; imports the online room."""
