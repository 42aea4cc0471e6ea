"""The workers' leases: registered, renewed, taken when nobody renewed them, and what they hold."""

from functools import partial

import pytest

from pacifica.dispatcher import orm
from tests.support import registration
from tests.unit.conftest import (
    at_once,
    claimed,
    claimed_run,
    count,
    published_run,
)


def registered(database: orm.Database, worker: str = "worker") -> orm.Peer:
    """A worker's row, new."""
    orm.register(database, worker, registration("host", f"lock of {worker}", 7.0))
    [peer] = [each for each in orm.peers(database) if each.uuid == worker]
    return peer


def test_nobody_is_registered_at_first(database: orm.Database) -> None:
    assert orm.peers(database) == []


def test_a_worker_that_registers_is_seen_by_others(database: orm.Database) -> None:
    peer = registered(database)
    assert peer == orm.Peer("worker", "host", "lock of worker", peer.renewed, 7.0)


def test_a_heartbeat_changes_the_stamp(each_database: orm.Database) -> None:
    peer = registered(each_database)
    assert orm.renew(each_database, "worker")
    [again] = orm.peers(each_database)
    assert again.renewed != peer.renewed


def test_a_worker_renews_its_own_lease_only(database: orm.Database) -> None:
    other = registered(database, "other")
    registered(database)
    orm.renew(database, "worker")
    assert other in orm.peers(database)


def test_a_worker_that_leaves_is_gone(database: orm.Database) -> None:
    other = registered(database, "other")
    registered(database)
    orm.leave(database, "worker")
    assert orm.peers(database) == [other]


def test_leaving_twice_is_no_error(database: orm.Database) -> None:
    registered(database)
    orm.leave(database, "worker")
    orm.leave(database, "worker")
    assert orm.peers(database) == []


def test_a_lease_that_was_not_renewed_is_taken(each_database: orm.Database) -> None:
    peer = registered(each_database)
    assert orm.take(each_database, peer)
    assert orm.peers(each_database) == []


def test_a_lease_that_was_renewed_meanwhile_is_not_taken(each_database: orm.Database) -> None:
    peer = registered(each_database)
    orm.renew(each_database, "worker")
    assert not orm.take(each_database, peer)
    assert [each.uuid for each in orm.peers(each_database)] == ["worker"]


def test_a_lease_that_was_taken_cannot_be_renewed(database: orm.Database) -> None:
    orm.take(database, registered(database))
    assert not orm.renew(database, "worker")
    assert count(database, "worker") == 0


def test_a_lease_is_taken_by_one_of_two(each_database: orm.Database) -> None:
    def take(peer: orm.Peer) -> bool:
        taken = orm.take(each_database, peer)
        each_database.close()
        return taken

    for number in range(10):
        act = partial(take, registered(each_database, f"worker-{number}"))
        assert sorted(at_once(act, act)) == [False, True]


def test_a_lease_is_either_renewed_or_taken(each_database: orm.Database) -> None:
    def renew(worker: str) -> bool:
        renewed = orm.renew(each_database, worker)
        each_database.close()
        return renewed

    def take(peer: orm.Peer) -> bool:
        taken = orm.take(each_database, peer)
        each_database.close()
        return taken

    for number in range(20):
        peer = registered(each_database, f"worker-{number}")
        renewed, taken = at_once(partial(renew, peer.uuid), partial(take, peer))
        assert renewed is not taken


def test_a_worker_holds_what_it_claimed(database: orm.Database) -> None:
    claims = {number: claimed_run(database, number).run for number in (1, 2)}
    claimed(database, published_run(database, 3), worker="other")
    assert sorted(held.run for held in orm.held(database, "worker")) == sorted(claims.values())


@pytest.mark.parametrize("is_asked", [0, 1])
def test_what_is_held_says_whether_it_is_to_be_cancelled(
    database: orm.Database, is_asked: int
) -> None:
    run = claimed_run(database).run
    for _ in range(is_asked):
        orm.ask_to_cancel(database, run)
    assert orm.held(database, "worker") == [orm.Held(run, 1, "app", 1, bool(is_asked))]


def test_a_worker_that_holds_nothing_is_not_lost(database: orm.Database) -> None:
    orm.take(database, registered(database))
    assert orm.lost(database) == []


def test_a_worker_with_a_lease_is_not_lost(database: orm.Database) -> None:
    registered(database)
    claimed_run(database)
    assert orm.lost(database) == []


def test_a_worker_that_holds_runs_and_has_no_lease_is_lost(each_database: orm.Database) -> None:
    registered(each_database)
    registered(each_database, "other")
    for number in (1, 2):
        claimed_run(each_database, number)
    claimed(each_database, published_run(each_database, 3), worker="other")
    orm.leave(each_database, "worker")
    assert orm.lost(each_database) == ["worker"]


def test_a_lost_worker_is_forgotten_when_its_runs_are_recovered(database: orm.Database) -> None:
    claimed_run(database)
    for held in orm.held(database, "worker"):
        orm.crash(database, held, "it died", 3)
    assert orm.lost(database) == []
