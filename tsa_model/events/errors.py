"""What is raised when raw orders cannot be used."""


class BadEvents(ValueError):
    """The events cannot be used; the message names file, column, number of rows and an example."""
