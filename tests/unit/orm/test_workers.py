"""Views of workers and their attempts."""

from pacifica.dispatcher import orm
from tests.factories import claimant, published_run, registration


def test_a_worker_is_shown_with_its_attempts(each_database: orm.Database) -> None:
    orm.register(each_database, "idle", registration("b", "lock"))
    busy_worker = orm.Registration("a", "lock", 7.0, ("default", "gpu"), 4, ("app", "big"))
    orm.register(each_database, "worker", busy_worker)
    claim = orm.claim(each_database, published_run(each_database), claimant("worker"))
    assert claim is not None
    busy, idle = orm.worker_views(each_database)
    assert (busy.uuid, busy.host, busy.length) == ("worker", "a", 7.0)
    assert (busy.queues, busy.processes) == (("default", "gpu"), 4)
    assert busy.applications == ("app", "big")
    [running] = busy.running
    assert (running.run, running.event, running.attempt) == (claim.run, claim.event, 1)
    assert (idle.uuid, idle.running) == ("idle", ())


def test_a_worker_shows_whether_connections_are_scarce(each_database: orm.Database) -> None:
    orm.register(each_database, "worker", registration("host", "lock"))
    [before] = orm.worker_views(each_database)
    each_database.scarcity.note()
    assert orm.renew(each_database, "worker")
    [after] = orm.worker_views(each_database)
    assert (before.scarce, after.scarce) == (False, True)
    assert {type(before.scarce), type(after.scarce)} == {bool}
