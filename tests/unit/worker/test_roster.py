"""The roster of the runs that a worker's processes work on."""

import os
import sys
from collections.abc import Callable

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.worker.roster import Roster

FIRST, SECOND = orm.new_uuid(), orm.new_uuid()


def in_child(act: Callable[[], None]) -> int:
    """Call a function in a forked child; return the child's exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_run_is_on_the_roster_as_long_as_somebody_works_on_it() -> None:
    roster = Roster()
    with roster.working_on(FIRST):
        with roster.working_on(SECOND):
            assert (roster.has(FIRST), roster.has(SECOND)) == (True, True)
        assert (roster.has(FIRST), roster.has(SECOND)) == (True, False)
    assert not roster.has(FIRST)


def test_an_error_takes_the_run_off_the_roster() -> None:
    roster = Roster()
    with pytest.raises(MemoryError), roster.working_on(FIRST):
        raise MemoryError
    assert not roster.has(FIRST)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_the_roster_includes_the_runs_of_children() -> None:
    roster = Roster()
    work = roster.working_on(FIRST)

    def work_until_death() -> None:
        roster.inherited(3)
        work.__enter__()

    with roster.working_on(SECOND):
        assert in_child(work_until_death) == 0
        assert (roster.has(FIRST), roster.has(SECOND)) == (True, True)
    assert in_child(lambda: roster.inherited(4)) == 0
    assert roster.has(FIRST)
    assert in_child(lambda: roster.inherited(3)) == 0  # the successor of the first child
    assert not roster.has(FIRST)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_child_without_a_place_takes_nobody_elses() -> None:
    roster = Roster()
    with roster.working_on(FIRST):
        assert in_child(lambda: roster.working_on(SECOND).__enter__()) == 1
        assert roster.has(FIRST)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("place", [-1, 4096])
def test_a_place_out_of_range_is_refused(place: int) -> None:
    roster = Roster()
    assert in_child(lambda: roster.inherited(place)) == 1


def test_a_creator_that_is_told_its_place_keeps_all_of_them() -> None:
    # Celery's solo pool calls its process initializer in the main process.
    roster = Roster()
    with roster.working_on(FIRST):
        roster.inherited(-1)
        with roster.working_on(SECOND):
            assert roster.has(FIRST)
