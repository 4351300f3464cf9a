"""What the quant room raises. A bad expiry is data (a status and a reason); a broken contract is one of these."""


class QuantError(ValueError):
    """Base of every error of this room; the message carries the value and the rule it broke."""


class InvalidChain(QuantError):
    """A chain that breaks its contract: shapes, order, finiteness, times.

    ``pointer`` is a JSON pointer into the body the chain came from, when the parser knows it.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class InvalidParameters(QuantError):
    """Model parameters outside the model's domain."""


class InvalidQuery(QuantError):
    """A question a surface cannot be asked: a point with two strikes, a delta outside (-1, 1), ...

    ``pointer`` is a JSON pointer into the request, when it is known.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class UnknownModel(QuantError):
    """A model name that is not in MODELS."""
