"""What is raised when a session does not compute what its network computes."""


class ParityError(ValueError):
    """The ONNX model does not compute what the network computes."""
