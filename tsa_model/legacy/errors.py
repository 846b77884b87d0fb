"""What is raised when equality with the legacy is not proven."""


class EquivalenceError(ValueError):
    """The shipped network is not proven to compute what the reference computes."""
