"""The error that is raised when equality is not proven."""


class EquivalenceError(ValueError):
    """The shipped network is not proven to compute what the reference computes."""
