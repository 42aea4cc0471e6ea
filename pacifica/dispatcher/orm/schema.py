"""The tables as peewee models, not bound to a database: each query is executed on one.

Times are seconds since the epoch. Keys are version 7 UUIDs, so rows are in order of time.
"""

import enum
import json
from collections.abc import Iterable

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from pacifica.dispatcher.events import Json


class State(enum.StrEnum):
    """The state of a run, each with the cause of its next transition."""

    QUEUED = "queued"  # a worker claims it
    RUNNING = "running"  # its worker records the outcome, or recovery does if the worker is lost
    RETRYING = "retrying"  # a worker claims it once it is due
    SUCCEEDED = "succeeded"  # final
    FAILED = "failed"  # final, unless it is retried
    CANCELLED = "cancelled"  # final, unless it is retried


class LongTextField(TextField):
    """Text of any length; MySQL's TEXT holds at most 64 KiB."""

    field_type = "LONGTEXT"


class LongBlobField(BlobField):
    """Bytes of any length; MySQL's BLOB holds at most 64 KiB."""

    field_type = "LONGBLOB"


class JsonField(LongTextField):
    """JSON, written as text and read as a value."""

    def python_value(self, value: str | None) -> Json:
        """Parse the text."""
        found: Json = None if value is None else json.loads(value)
        return found


class FlagField(IntegerField):
    """0 or 1, read as a bool."""

    def python_value(self, value: int) -> bool:
        """Convert the number."""
        return bool(value)


class WordsField(LongTextField):
    """Words separated by spaces, read as a tuple."""

    def db_value(self, value: Iterable[str]) -> str:
        """Join the words."""
        return " ".join(value)

    def python_value(self, value: str | None) -> tuple[str, ...]:
        """Split the text; none has no words."""
        return tuple((value or "").split())


MAX_SHORT = 4096
"""Maximum length of an event, in characters, whose attributes are only in its text."""


class EventRow(Model):
    """An event as it was sent; `identity` is a digest of source and id, to recognise duplicates.

    `type_hash` and `source_hash` represent type and source in indexes; `unmatched` is set while the
    event has no run, `expired` if it had expired when it was received. `attributes` are those of an
    event that is longer than MAX_SHORT.
    """

    uuid = CharField(36, primary_key=True)
    identity = CharField(64, unique=True)
    source = LongTextField()
    id = LongTextField()
    type = LongTextField()
    subject = LongTextField(null=True)
    received = DoubleField()
    sent = LongTextField()
    type_hash = BigIntegerField()
    source_hash = BigIntegerField()
    unmatched = FlagField()
    expired = FlagField()
    attributes = JsonField(null=True)

    class Meta:
        """The table."""

        table_name = "event"


class DuplicateRow(Model):
    """An event that was received again.

    `content` is the digest of the stored event's content, computed when it is first needed, so that
    accepting an event costs no more. `number` counts the deliveries with another content, of which
    `deliveries` has the latest; `latest` is the time of the last one.
    """

    event = CharField(36, primary_key=True)  # a foreign key would lock the event on MySQL
    content = CharField(64)
    number = BigIntegerField()
    latest = DoubleField(null=True)
    deliveries = JsonField(null=True)

    class Meta:
        """The table."""

        table_name = "duplicate"


class RunRow(Model):
    """An application run for an event.

    A waiting run is either due at a time (`due`) or has a wake-up in flight (since `published`). A
    limit may block a run that is due: `blocked` is the limit's kind. A running run has a `worker`.

    `slot` is a digest of the key that the concurrency limit applies to, `queue` the Celery queue
    (empty: the default queue), `cancelling` the time when a cancel was requested, `origin` the
    `superseded` run that this one replaced in a replay. `crashes` and `losses` count the attempts
    that were interrupted, `interrupted` is the time of the last one (see `finish`).
    """

    uuid = CharField(36, primary_key=True)
    event = ForeignKeyField(EventRow, column_name="event", on_delete="CASCADE")
    application = CharField(100)
    state = CharField(16)
    attempt = IntegerField()
    due = DoubleField(null=True)
    published = DoubleField(null=True)
    blocked = CharField(200, null=True)
    queue = CharField(100)
    priority = IntegerField()
    slot = CharField(64)
    worker = CharField(36, null=True)
    crashes = IntegerField()
    losses = IntegerField()
    interrupted = DoubleField(null=True)
    failures = IntegerField()
    cancelling = DoubleField(null=True)
    queued = DoubleField()
    finished = DoubleField(null=True)
    result = JsonField(null=True)
    error = LongTextField(null=True)
    origin = CharField(36, null=True)
    superseded = FlagField()

    class Meta:
        """The table."""

        table_name = "run"


class AttemptRow(Model):
    """An attempt at a run: one child process."""

    run = ForeignKeyField(RunRow, column_name="run", on_delete="CASCADE", index=False)
    number = IntegerField()
    host = CharField(255)
    worker = CharField(36, null=True)
    handle = CharField(200, null=True)
    started = DoubleField()
    finished = DoubleField(null=True)
    exit_code = IntegerField(null=True)
    signal_name = CharField(16, null=True)
    error = LongTextField(null=True)
    command = JsonField(null=True)
    last_line = CharField(200, null=True)
    progress = IntegerField(null=True)
    progress_text = CharField(200, null=True)

    class Meta:
        """The table."""

        table_name = "attempt"
        primary_key = CompositeKey("run", "number")


LAST_ATTEMPT = (AttemptRow.run == RunRow.uuid) & (AttemptRow.number == RunRow.attempt)
"""The condition that joins a run to its last attempt."""


class OutputRow(Model):
    """A piece of an attempt's output; output between two pieces of a stream was not kept."""

    run = ForeignKeyField(RunRow, column_name="run", on_delete="CASCADE", index=False)
    attempt = IntegerField()
    stream = CharField(6)
    position = BigIntegerField()
    written = DoubleField()
    data = LongBlobField()

    class Meta:
        """The table."""

        table_name = "output"
        primary_key = CompositeKey("run", "attempt", "stream", "position")


class WorkerRow(Model):
    """A worker that has a lease."""

    uuid = CharField(36, primary_key=True)
    host = CharField(255)
    lock_name = CharField(36)
    started = DoubleField()
    renewed = DoubleField()
    length = DoubleField()
    queues = WordsField()
    processes = IntegerField()
    applications = WordsField(null=True)
    skew = DoubleField()
    scarce = BooleanField()

    class Meta:
        """The table."""

        table_name = "worker"


class PauseRow(Model):
    """A paused application."""

    application = CharField(100, primary_key=True)
    since = DoubleField()

    class Meta:
        """The table."""

        table_name = "pause"


class OutboxRow(Model):
    """A notice that a run has ended."""

    id = BigAutoField()
    run = CharField(36)
    event = CharField(36)
    application = CharField(100)
    state = CharField(16)
    ended = DoubleField()

    class Meta:
        """The table."""

        table_name = "outbox"
