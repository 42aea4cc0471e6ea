"""Schema migrations, applied in order (see `orm.migrating`); their models are frozen.

The functions here leave alone what is there already: MySQL ends a transaction at each change of
structure, so a migration that was interrupted is repeated from its beginning.
"""

from collections.abc import Mapping
from typing import Any, Final

LOT: Final = 500
"""Rows that one step of a migration changes; others wait no longer than that takes."""


def add_columns(db: Any, table: str, columns: Mapping[str, str]) -> None:  # noqa: ANN401
    """Add columns, given by name with their type."""
    there = {each.name for each in db.get_columns(table)}
    for name, kind in columns.items():
        if name not in there:
            db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def drop_column(db: Any, table: str, column: str) -> None:  # noqa: ANN401
    """Drop a column."""
    if column in {each.name for each in db.get_columns(table)}:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column}")


def create_index(db: Any, name: str, rest: str) -> None:  # noqa: ANN401
    """Create an index; `rest` is its table with the columns."""
    table = rest.partition(" ")[0]
    if name not in {each.name for each in db.get_indexes(table)}:
        db.execute_sql(f"CREATE INDEX {name} ON {rest}")


def rows(db: Any, sql: str, *parameters: object) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Return the rows of a query, with `?` for each parameter."""
    found: list[tuple[Any, ...]] = db.execute_sql(sql.replace("?", db.param), parameters).fetchall()
    return found


def change(db: Any, sql: str, *parameters: object) -> None:  # noqa: ANN401
    """Run a statement, with `?` for each parameter."""
    db.execute_sql(sql.replace("?", db.param), parameters)
