"""Leases of workers: registration, renewal, revocation, and the attempts under a lease."""

from functools import partial

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseBusyError
from tests.factories import (
    at_once,
    claimed,
    claimed_run,
    count,
    published_run,
    registration,
)


def registered(database: orm.Database, worker: str = "worker") -> orm.Peer:
    """Register a worker; return it as a peer."""
    orm.register(database, worker, registration("host", f"lock of {worker}", 7.0))
    [peer] = [each for each in orm.peers(database) if each.uuid == worker]
    return peer


def test_a_new_database_has_no_workers(database: orm.Database) -> None:
    assert orm.peers(database) == []


def test_a_registered_worker_is_a_peer(database: orm.Database) -> None:
    peer = registered(database)
    assert peer == orm.Peer("worker", "host", "lock of worker", peer.renewed, 7.0)


def test_a_heartbeat_changes_the_stamp(each_database: orm.Database) -> None:
    peer = registered(each_database)
    assert orm.renew(each_database, "worker")
    [again] = orm.peers(each_database)
    assert again.renewed != peer.renewed


def test_a_worker_renews_only_its_own_lease(database: orm.Database) -> None:
    other = registered(database, "other")
    registered(database)
    orm.renew(database, "worker")
    assert other in orm.peers(database)


def test_a_deregistered_worker_is_not_a_peer(database: orm.Database) -> None:
    other = registered(database, "other")
    registered(database)
    orm.deregister(database, "worker")
    assert orm.peers(database) == [other]


def test_a_worker_can_be_deregistered_twice(database: orm.Database) -> None:
    registered(database)
    orm.deregister(database, "worker")
    orm.deregister(database, "worker")
    assert orm.peers(database) == []


def test_a_lease_that_was_not_renewed_is_revoked(each_database: orm.Database) -> None:
    peer = registered(each_database)
    assert orm.revoke(each_database, peer)
    assert orm.peers(each_database) == []


def test_a_lease_that_was_renewed_in_between_is_not_revoked(each_database: orm.Database) -> None:
    peer = registered(each_database)
    orm.renew(each_database, "worker")
    assert not orm.revoke(each_database, peer)
    assert [each.uuid for each in orm.peers(each_database)] == ["worker"]


def test_a_revoked_lease_cannot_be_renewed(database: orm.Database) -> None:
    orm.revoke(database, registered(database))
    assert not orm.renew(database, "worker")
    assert count(database, "worker") == 0


def revoke(database: orm.Database, peer: orm.Peer) -> bool:
    try:
        return orm.revoke(database, peer)
    except DatabaseBusyError:
        return False
    finally:
        database.close()


def test_only_one_of_two_peers_revokes_a_lease(each_database: orm.Database) -> None:
    for number in range(10):
        act = partial(revoke, each_database, registered(each_database, f"worker-{number}"))
        assert sorted(at_once(act, act)) == [False, True]


def test_a_lease_is_either_renewed_or_revoked(each_database: orm.Database) -> None:
    def renew(worker: str) -> bool:
        renewed = orm.renew(each_database, worker)
        each_database.close()
        return renewed

    for number in range(20):
        peer = registered(each_database, f"worker-{number}")
        renewed, taken = at_once(partial(renew, peer.uuid), partial(revoke, each_database, peer))
        assert renewed is not taken


def test_a_worker_holds_the_attempts_that_it_claimed(database: orm.Database) -> None:
    claims = {number: claimed_run(database, number).run for number in (1, 2)}
    claimed(database, published_run(database, 3), worker="other")
    assert sorted(held.run for held in orm.attempts_of(database, "worker")) == sorted(
        claims.values()
    )


@pytest.mark.parametrize("cancels", [0, 1])
def test_an_attempt_shows_a_requested_cancel(database: orm.Database, cancels: int) -> None:
    run = claimed_run(database).run
    for _ in range(cancels):
        orm.ask_to_cancel(database, run)
    assert orm.attempts_of(database, "worker") == [
        orm.LiveAttempt(run, 1, "app", "local:1", bool(cancels))
    ]


def test_a_worker_without_attempts_is_not_lost(database: orm.Database) -> None:
    orm.revoke(database, registered(database))
    assert orm.lost_workers(database) == []


def test_a_worker_with_a_lease_is_not_lost(database: orm.Database) -> None:
    registered(database)
    claimed_run(database)
    assert orm.lost_workers(database) == []


def test_a_worker_with_attempts_and_without_a_lease_is_lost(each_database: orm.Database) -> None:
    registered(each_database)
    registered(each_database, "other")
    for number in (1, 2):
        claimed_run(each_database, number)
    claimed(each_database, published_run(each_database, 3), worker="other")
    orm.deregister(each_database, "worker")
    assert orm.lost_workers(each_database) == ["worker"]


def test_a_worker_whose_runs_were_recovered_is_not_lost(database: orm.Database) -> None:
    claimed_run(database)
    for held in orm.attempts_of(database, "worker"):
        orm.crash(database, held, "it died", 3)
    assert orm.lost_workers(database) == []
