"""The tables: their keys, and that the migrations make what the models say."""

import time
import uuid

import pytest
from peewee import Model

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm.tables import AttemptRow, EventRow, OutputRow, RunRow, new_uuid
from pacifica.dispatcher.output import Piece
from tests.unit.conftest import change, claimed_run, count


def test_a_uuid_is_one_of_version_7() -> None:
    made = uuid.UUID(new_uuid())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_uuid_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = uuid.UUID(new_uuid()).int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_uuids_a_microsecond_apart_are_in_order_of_time() -> None:
    made = []
    for _ in range(500):
        made.append(new_uuid())
        until = time.time_ns() + 1000
        while time.time_ns() < until:
            pass
    assert made == sorted(made)


def test_uuids_of_one_moment_differ() -> None:
    assert len({new_uuid() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("model", [EventRow, RunRow, AttemptRow, OutputRow])
def test_the_migrations_make_the_models(database: orm.Database, model: type[Model]) -> None:
    meta = model._meta  # noqa: SLF001 - there is no other way
    made = {each.name: each.null for each in database.peewee.get_columns(meta.table_name)}
    assert made == {field.column_name: field.null for field in meta.sorted_fields}


@pytest.mark.parametrize(
    "columns", ["event", "published", "queue priority due", "blocked due", "worker"]
)
def test_a_run_is_found_by_an_index(database: orm.Database, columns: str) -> None:
    indexed = [index.columns for index in database.peewee.get_indexes("run")]
    assert columns.split() in indexed


def test_an_event_takes_its_runs_attempts_and_output_along(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.succeed(database, claim, orm.Outcome(), [Piece("stdout", 0, time.time(), b"x")])
    change(database, "DELETE FROM event WHERE uuid = ?", (claim.event,))
    assert [count(database, table) for table in ("run", "attempt", "output")] == [0, 0, 0]
