"""The run descriptions that come with the project."""
