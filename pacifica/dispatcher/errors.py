"""The exceptions that the dispatcher raises on purpose.

    DispatcherError
    ├── InvalidInputError            input from a client that cannot be used
    │   ├── EventError                 not a valid CloudEvent; names every invalid attribute
    │   ├── RequestError               an invalid parameter, header or form
    │   │   └── BrokenBodyError          a body that ends early or cannot be read
    │   ├── InvalidIdError             not a valid event or run id
    │   ├── TooLargeError              a body that exceeds the maximum size
    │   │   └── TooMuchWorkError         events on which the rules take too long
    │   └── UnsupportedFormatError     an unsupported media type
    │       └── ContentCodingError       a body with a content coding
    ├── ForbiddenError               the client may not do this
    │   ├── SignatureError             a delivery whose sender cannot be authenticated
    │   └── ForeignSiteError           an action requested by another site's page
    ├── NotFoundError                no such event, run, application or file
    ├── ConflictError                the state of a run or an event does not allow it
    │   └── NotConfiguredError         the run's application is not configured here
    ├── UnavailableError             cannot be done now; try again later
    │   ├── DatabaseUnavailableError
    │   │   ├── DatabaseBusyError         it works, but somebody else holds a lock
    │   │   └── DatabaseUnfitError        it responds, but an operator has to change it
    │   ├── BrokerUnavailableError
    │   │   └── BrokerRefusedError        it responds, but does not allow what is needed
    │   ├── DiskFullError
    │   └── TooManyStreamsError
    ├── ConfigurationError           the operator has to change something
    │   ├── SettingsError              the INI file or the environment; names every invalid key
    │   ├── RuleError                  a filter; names every invalid part
    │   ├── DatabaseUrlError
    │   ├── SchemaError                the tables are those of another version
    │   ├── ListenError
    │   ├── ConcurrencyError           a pool or a server in which this cannot work
    │   └── WorkerRefusedError         the worker of a standalone named a problem and exited
    └── ApplicationError             this application cannot run for this event; fails the run

The web tier maps each branch to an HTTP status (`rest.problems`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

MAX_PROBLEMS: Final = 100
"""Maximum number of problems named for one event."""


class DispatcherError(Exception):
    """The base class.

    Attributes:
        public: what clients are told instead of a message that names the operator's hosts, users or
            files; "" if the message is for everyone.
    """

    public: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault and its location.

    Attributes:
        where: an RFC 6901 JSON pointer into an event, or "file: [section] key" for a setting.
        what: the fault and, if it helps, the remedy, in one sentence.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """Return the location and the sentence on one line."""
        return f"{self.where}: {self.what}"


class InvalidInputError(DispatcherError):
    """Input from a client that cannot be used."""


class EventError(InvalidInputError):
    """Not a valid CloudEvent.

    Attributes:
        problems: the invalid attributes, at most `MAX_PROBLEMS`.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        """Keep the summary and the first problems."""
        super().__init__(message)
        self.problems = tuple(problems[:MAX_PROBLEMS])


class RequestError(InvalidInputError):
    """A parameter, a header, a form or a body that cannot be read."""


class AmbiguousRequestError(RequestError):
    """A request that programs on its way could read differently."""


class BrokenBodyError(RequestError):
    """A body that ends early, or whose chunks are malformed."""


class InvalidIdError(InvalidInputError):
    """Not a valid event or run id."""


class TooLargeError(InvalidInputError):
    """A body that exceeds the maximum size."""


class TooMuchWorkError(TooLargeError):
    """Events on which the rules of the applications take too long."""


class UnsupportedFormatError(InvalidInputError):
    """An unsupported media type."""


class ContentCodingError(UnsupportedFormatError):
    """A body with a content coding, which the server does not decode."""


class ForbiddenError(DispatcherError):
    """The client may not do this."""


class SignatureError(ForbiddenError):
    """A delivery whose sender cannot be authenticated with the shared secret."""


class ForeignSiteError(ForbiddenError):
    """An action requested by another site's page."""


class NotFoundError(DispatcherError):
    """No such event, run, application or file."""


class ConflictError(DispatcherError):
    """The state of a run or an event does not allow the action."""


class NotConfiguredError(ConflictError):
    """The application of a run is not configured here."""


class UnavailableError(DispatcherError):
    """Cannot be done now; the same request may succeed later."""


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached, or cannot be written to now.

    Attributes:
        for_all: True if the database is known to be unavailable to every client: the server says
            so, its machine refuses connections, or it is a file on this machine. A server that does
            not respond to this client, or whose proxy refuses it, may still respond to others.
    """

    public = "Database unavailable; try again later"

    def __init__(self, message: str, *, for_all: bool = False) -> None:
        """Keep the message and the flag."""
        super().__init__(message)
        self.for_all = for_all


class DatabaseBusyError(DatabaseUnavailableError):
    """Another transaction holds a lock for too long; the database itself works."""

    public = "Database busy; try again later"


class DatabaseUnfitError(DatabaseUnavailableError):
    """The database cannot hold events until an operator changes it: rights, tables, encoding."""

    public = "Database cannot be used; see the server log"


class BrokerUnavailableError(UnavailableError):
    """The broker cannot be reached, or does not accept a message now."""

    public = "Broker unavailable; runs start when it is back"


class BrokerRefusedError(BrokerUnavailableError):
    """The broker responds, but does not allow what is needed: somebody has to change that."""

    public = "Broker refuses what is needed; see the server log"


class DiskFullError(UnavailableError):
    """No room for the files of an attempt.

    Attributes:
        lack: what is missing: space, inodes or quota.
    """

    def __init__(self, message: str, lack: str) -> None:
        """Keep the message and the lack."""
        super().__init__(message)
        self.lack = lack


class TooManyStreamsError(UnavailableError):
    """The maximum number of open responses has been reached."""


class ConfigurationError(DispatcherError):
    """The operator has to change something."""


class SettingsError(ConfigurationError):
    """The configuration cannot be used.

    Attributes:
        problems: all problems found.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep all problems; the message has one line for each."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class RuleError(ConfigurationError):
    """A filter cannot be used.

    Attributes:
        problems: all problems found, each with an RFC 6901 pointer into the filter.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep all problems; the message has one line for each."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class DatabaseUrlError(ConfigurationError):
    """A database URL with an unknown scheme, or one whose driver is not installed."""


class SchemaError(ConfigurationError):
    """Tables of another version of the dispatcher, which this one cannot work with or migrate."""


class ListenError(ConfigurationError):
    """The web tier cannot listen on its address."""


class ConcurrencyError(ConfigurationError):
    """A pool of Celery or a WSGI server in which this cannot work."""


class WorkerRefusedError(ConfigurationError):
    """The worker of a standalone named a problem and exited; another one would do the same."""


class ApplicationError(DispatcherError):
    """This application cannot run for this event: a placeholder, a limit, a missing program."""
