"""What is raised when a session does not compute what its network computes."""


class ParityError(ValueError):
    """The ONNX model does not compute what the network computes."""


class ContentsError(ParityError):
    """The file does not hold the weights of the network, or holds what no export holds."""
