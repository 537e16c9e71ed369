"""The one tree of deliberate errors of the client.

The family says who must act, and decides the exit code (cli/exits.py). `reason` is the stable identifier,
`where` a place in a file of the project as editors write it, `hint` what to do next.
"""

from typing import Self

HASH_COLLISION = "HASH_COLLISION"
"""The reason of a refusal: the service holds another content of a file's MD5."""


class ClientError(Exception):
    """An error that the client means to report, as opposed to a bug."""

    default_reason = "ERROR"

    def __init__(self, message: str, *, hint: str = "", where: str = "", reason: str = "") -> None:
        """Say what happened, what to do next, and where."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.reason = reason or self.default_reason

    def about(self, label: str) -> Self:
        """The same about a file here: the service knows hashes, whoever reads this knows names."""
        return type(self)(f"{label}: {self.message}", hint=self.hint, where=label, reason=self.reason)


class NotInProject(ClientError):
    """The folder is in no DVC project."""

    default_reason = "NOT_IN_PROJECT"


class BadConfiguration(ClientError):
    """An address, token or setting of the client is wrong."""

    default_reason = "CONFIGURATION"


class FileTrouble(ClientError):
    """A file here cannot be read or written, or changed while it was being read."""

    default_reason = "FILE_TROUBLE"


class Invalid(ClientError):
    """The pipeline or the request cannot be run as it stands."""

    default_reason = "INVALID"


class Unknown(ClientError):
    """What was named does not exist."""

    default_reason = "NOT_FOUND"


class Refused(ClientError):
    """Something in the world must change before this can succeed."""

    default_reason = "REFUSED"


class NotAllowed(ClientError):
    """The service does not know the caller, or does not let them do this."""

    default_reason = "NOT_ALLOWED"


class Unreachable(ClientError):
    """No service answers, or a part that it stands on does not."""

    default_reason = "UNREACHABLE"


class TryLater(ClientError):
    """The service is too busy now."""

    default_reason = "TRY_LATER"


class TimeLimitPassed(ClientError):
    """The client's own time limit passed; the run goes on."""

    default_reason = "TIMEOUT"


class ProtocolBroken(ClientError):
    """The service said something that it must not say: a bug of Wherry's, or worse."""

    default_reason = "PROTOCOL_BROKEN"


class NotInGit(ClientError):
    """A commit is asked for where there is no git."""

    default_reason = "NOT_IN_GIT"


class UnknownRevision(ClientError):
    """A name is neither that of a commit nor that of a run."""

    default_reason = "REVISION_UNKNOWN"


class RunFailed(ClientError):
    """A run did not succeed."""

    default_reason = "RUN_FAILED"


class Cancelled(ClientError):
    """Whoever asked does not want to know any more: what was under way has been broken off."""

    default_reason = "CANCELLED"
