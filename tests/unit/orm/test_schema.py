"""The tables: the migrations create those of the models, with their indexes and keys."""

import time

import pytest
from peewee import Model

from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.orm.schema import (
    AttemptRow,
    EventRow,
    OutputRow,
    PauseRow,
    RunRow,
    WorkerRow,
)
from tests.factories import change, claimed_run, count


@pytest.mark.parametrize("model", [EventRow, RunRow, AttemptRow, OutputRow, WorkerRow, PauseRow])
def test_the_migrations_create_the_models(database: orm.Database, model: type[Model]) -> None:
    meta = model._meta  # noqa: SLF001 - there is no other way
    made = {each.name: each.null for each in database.peewee.get_columns(meta.table_name)}
    assert made == {field.column_name: field.null for field in meta.sorted_fields}


@pytest.mark.parametrize(
    "columns",
    [
        "event",
        "published",
        "queue priority due",
        "blocked application due",
        "blocked application slot due",
        "worker",
    ],
)
def test_runs_have_an_index(database: orm.Database, columns: str) -> None:
    indexed = [index.columns for index in database.peewee.get_indexes("run")]
    assert columns.split() in indexed


def test_deleting_an_event_deletes_its_runs_attempts_and_output(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 0, time.time(), b"x")]
    )
    change(database, "DELETE FROM event WHERE uuid = ?", (claim.event,))
    assert [count(database, table) for table in ("run", "attempt", "output")] == [0, 0, 0]
