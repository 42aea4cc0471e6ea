"""Read rows: the columns of a query become the fields of a view, by name.

A query is a peewee expression or a statement in SQL. The models' fields convert the values (see
`schema`); in a statement, each field converts the column with its name.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from peewee import Model

from pacifica.dispatcher.orm.database import Database

T = TypeVar("T")


def views(database: Database, query: Any, view: Callable[..., T]) -> list[T]:  # noqa: ANN401 - peewee is untyped
    """Call a view's constructor with the columns of each row by name.

    Args:
        database: the database; the caller has a connection.
        query: a query for rows of a model, or a `statement`.
        view: the constructor.
    """
    return list(query.objects(view).execute(database.peewee))


def column(database: Database, query: Any) -> list[Any]:  # noqa: ANN401 - peewee is untyped
    """Read the only column of a query."""
    return [value for (value,) in query.tuples().execute(database.peewee)]


def statement(database: Database, model: type[Model], sql: str, *parameters: object) -> Any:  # noqa: ANN401
    """Return a statement in SQL, with `?` for each parameter, as a query for rows of a model."""
    return model.raw(sql.replace("?", database.peewee.param), *parameters)
