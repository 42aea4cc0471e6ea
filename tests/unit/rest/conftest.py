"""Fixtures of the REST tests."""

from collections.abc import Callable, Iterator

import pytest

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.broker import publisher as of_publisher
from pacifica.dispatcher.broker.publisher import Publisher
from tests.factories import Postbox, claimant, published_run
from tests.unit.rest.factories import Client, make_context, with_database, with_wake


@pytest.fixture
def context(database: orm.Database) -> rest.Context:
    return make_context(database)


@pytest.fixture
def client(context: rest.Context) -> Client:
    return Client(context)


@pytest.fixture
def publisher(
    context: rest.Context, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Publisher]:
    """A publisher that the test starts, and that looks by itself only once an hour."""
    monkeypatch.setattr(of_publisher, "_INTERVAL", 3600.0)
    publisher = Publisher(context.database, postbox, context.applications)
    yield publisher
    publisher.stop()


@pytest.fixture
def publishing(context: rest.Context, publisher: Publisher) -> Client:
    """A client of a web tier that wakes the publisher."""
    return Client(with_wake(context, publisher.wake))


@pytest.fixture
def without_database(context: rest.Context) -> Iterator[Client]:
    """A client of a web tier whose database is unavailable."""
    database = orm.Database("sqlite:///no/such/folder/db.sqlite3")
    yield Client(with_database(context, database))
    database.close()


@pytest.fixture
def ended_run(database: orm.Database) -> Callable[[orm.State], str]:
    """Create a run of the application `hello` that ended in a state."""

    def make(state: orm.State) -> str:
        run = published_run(database, state, "hello")
        claim = orm.claim(database, run, claimant())
        assert claim is not None
        assert orm.finish(database, claim, state, orm.Outcome(exit_code=1, result="7"), [])
        return run

    return make
