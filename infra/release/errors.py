"""What can end a release early, each with the exit code that a script sees."""


class ReleaseError(Exception):
    """A release cannot go on. The text names the place, what is wrong and the cure."""

    exit_code = 1


class GateClosed(ReleaseError):
    """Checks, load or verdict said no."""

    exit_code = 1


class WrongUse(ReleaseError):
    """The command, the inventory or the source is not usable as given; nothing was touched."""

    exit_code = 2


class CouldNotLook(ReleaseError):
    """A machine or a tool did not answer, so nothing can be said about it."""

    exit_code = 5


class LockHeld(CouldNotLook):
    """Another release is at work on this fleet."""


class Interrupted(BaseException):
    """Ctrl-C or a request to terminate. Not an Exception, so that no library swallows it on the way up."""

    exit_code = 1

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"interrupted by {signal_name}")
