"""The tables as peewee models, which no module binds to a database: queries name theirs.

Times are seconds since the epoch. Keys are version 7 UUIDs, so that rows lie in order of time.
"""

import enum
import os
import time

from peewee import (
    BigIntegerField,
    BlobField,
    CharField,
    CompositeKey,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)


class State(enum.StrEnum):
    """The state of a run; each names who moves it on."""

    QUEUED = "queued"  # a worker claims it
    RUNNING = "running"  # its worker records the outcome; recovery, when the worker is lost
    RETRYING = "retrying"  # a worker claims it once it is due
    SUCCEEDED = "succeeded"  # final
    FAILED = "failed"  # final, unless somebody asks for a retry
    CANCELLED = "cancelled"  # final, unless somebody asks for a retry


class LongTextField(TextField):
    """Text of any length; MySQL's own TEXT ends at 64 KiB."""

    field_type = "LONGTEXT"


class LongBlobField(BlobField):
    """Bytes of any length; MySQL's own BLOB ends at 64 KiB."""

    field_type = "LONGBLOB"


def new_uuid() -> str:
    """A version 7 UUID (RFC 9562, 5.7 and 6.2 method 3): the time to 244 ns, then chance."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    value = milliseconds << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64
    value |= 0x2 << 62 | int.from_bytes(os.urandom(8)) >> 2
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class EventRow(Model):
    """An event as it was sent; `identity` digests source and id, so that a repeat is known.

    `type_hash` and `source_hash` stand for what they digest in the indexes that events are looked
    for by; `unmatched` is 1 while it has no run.
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
    unmatched = IntegerField()

    class Meta:
        """The table."""

        table_name = "event"


class RunRow(Model):
    """One application for one event.

    A waiting run either is due at a time (`due`) or has a wake-up on its way since (`published`).
    One that is due may be held back by a limit: `blocked` names it. A running one has a `worker`.

    `slot` is the place that it takes among those of its application that may run at once, `queue`
    the Celery queue (empty: the installation's), `cancelling` when somebody asked to cancel it,
    `origin` the run that it repeats after a replay, which made that one `superseded`.
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
    failures = IntegerField()
    cancelling = DoubleField(null=True)
    queued = DoubleField()
    finished = DoubleField(null=True)
    result = LongTextField(null=True)
    error = LongTextField(null=True)
    origin = CharField(36, null=True)
    superseded = IntegerField()

    class Meta:
        """The table."""

        table_name = "run"


class AttemptRow(Model):
    """One try at a run: one child process."""

    run = ForeignKeyField(RunRow, column_name="run", on_delete="CASCADE", index=False)
    number = IntegerField()
    host = CharField(255)
    worker = CharField(36, null=True)
    pid = IntegerField(null=True)
    started = DoubleField()
    finished = DoubleField(null=True)
    exit_code = IntegerField(null=True)
    signal_name = CharField(16, null=True)
    error = LongTextField(null=True)
    command = LongTextField(null=True)
    last_line = CharField(200, null=True)
    progress = IntegerField(null=True)
    progress_text = CharField(200, null=True)

    class Meta:
        """The table."""

        table_name = "attempt"
        primary_key = CompositeKey("run", "number")


class OutputRow(Model):
    """A piece of what an attempt wrote. What lies between two pieces of a stream was not kept."""

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
