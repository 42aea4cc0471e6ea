"""The first tables: event, run, attempt, output."""

from peewee import (
    BigIntegerField,
    BlobField,
    CharField,
    CompositeKey,
    Database,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    Model,
    MySQLDatabase,
    TextField,
)
from playhouse.migrate import SchemaMigrator


class _LongText(TextField):
    field_type = "LONGTEXT"


class _LongBlob(BlobField):
    field_type = "LONGBLOB"


class Event(Model):
    """Table event."""

    uuid = CharField(36, primary_key=True)
    identity = CharField(64, unique=True)
    source = _LongText()
    id = _LongText()
    type = _LongText()
    subject = _LongText(null=True)
    received = DoubleField()
    sent = _LongText()


class Run(Model):
    """Table run."""

    uuid = CharField(36, primary_key=True)
    event = ForeignKeyField(Event, column_name="event", on_delete="CASCADE")
    application = CharField(100)
    state = CharField(16)
    attempt = IntegerField()
    due = DoubleField(null=True)
    published = DoubleField(null=True)
    queued = DoubleField()
    finished = DoubleField(null=True)
    result = _LongText(null=True)
    error = _LongText(null=True)


class Attempt(Model):
    """Table attempt."""

    run = ForeignKeyField(Run, column_name="run", on_delete="CASCADE", index=False)
    number = IntegerField()
    host = CharField(255)
    started = DoubleField()
    finished = DoubleField(null=True)
    exit_code = IntegerField(null=True)
    signal_name = CharField(16, null=True)
    error = _LongText(null=True)

    class Meta:
        """The table's key."""

        primary_key = CompositeKey("run", "number")


class Output(Model):
    """Table output."""

    run = ForeignKeyField(Run, column_name="run", on_delete="CASCADE", index=False)
    attempt = IntegerField()
    stream = CharField(6)
    position = BigIntegerField()
    written = DoubleField()
    data = _LongBlob()

    class Meta:
        """The table's key."""

        primary_key = CompositeKey("run", "attempt", "stream", "position")


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Create the tables."""
    models = [Event, Run, Attempt, Output]
    if isinstance(db, MySQLDatabase):  # by default, it compares "A" and "a" as equal
        for model in models:
            settings = ["CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"]
            model._meta.table_settings = settings  # noqa: SLF001 - there is no other way
    with db.bind_ctx(models):
        db.create_tables(models, safe=False)
    for column in ("due", "published"):  # only needed for the few runs that wait
        part = "" if isinstance(db, MySQLDatabase) else f" WHERE {column} IS NOT NULL"
        sql = f"CREATE INDEX run_{column} ON run ({column}){part}"
        db.execute_sql(sql)  # type: ignore[no-untyped-call]
