"""What can be wrong with bytes that should follow the contract."""


class WireError(ValueError):
    """Bytes are not a message of the contract, or say something it does not allow."""
