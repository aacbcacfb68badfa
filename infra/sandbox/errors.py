"""What the sandbox says when it cannot go on."""


class SandboxError(Exception):
    """One line for the operator: what is wrong, where, and what to do about it.

    Attributes:
        exit_code: 2 for a wrong request, 5 when this computer cannot do what was asked.
    """

    def __init__(self, message: str, *, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code
