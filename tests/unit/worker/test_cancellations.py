"""Requests to cancel reach the processes that make the attempts, without a file."""

import os

from pacifica.dispatcher import orm
from pacifica.dispatcher.worker.cancellations import Cancellations

RUN, OTHER = orm.new_uuid(), orm.new_uuid()


def test_nothing_is_requested_at_first() -> None:
    assert not Cancellations().requested(RUN, 1)


def test_only_the_named_attempt_is_cancelled() -> None:
    cancellations = Cancellations()
    cancellations.replace([(RUN, 1)])
    assert cancellations.requested(RUN, 1)
    assert not cancellations.requested(RUN, 11)
    assert not cancellations.requested(RUN, 2)
    assert not cancellations.requested(OTHER, 1)


def test_a_request_that_is_not_repeated_is_gone() -> None:
    cancellations = Cancellations()
    cancellations.replace([(RUN, 1)])
    cancellations.replace([(OTHER, 1)])
    assert not cancellations.requested(RUN, 1)
    assert cancellations.requested(OTHER, 1)


def test_more_requests_than_there_is_room_for_wait() -> None:
    cancellations = Cancellations()
    cancellations.replace((RUN, number) for number in range(2000))
    assert cancellations.requested(RUN, 1023)
    assert not cancellations.requested(RUN, 1024)


def test_a_forked_process_sees_a_request() -> None:
    cancellations = Cancellations()
    cancellations.replace([(RUN, 1)])
    child = os.fork()
    if child == 0:
        os._exit(0 if cancellations.requested(RUN, 1) else 1)
    assert os.waitpid(child, 0)[1] == 0
