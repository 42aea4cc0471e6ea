"""A worker warns of each trouble once."""

import pytest

from pacifica.dispatcher.worker import troubles as module
from pacifica.dispatcher.worker.troubles import Trouble, Troubles


def test_only_the_first_of_several_is_new() -> None:
    troubles = Troubles()
    assert [troubles.begins(Trouble.SPACE) for _ in range(3)] == [True, False, False]


def test_each_trouble_is_new() -> None:
    troubles = Troubles()
    assert all(troubles.begins(each) for each in Trouble)


def test_a_trouble_that_was_over_is_new_again(monkeypatch: pytest.MonkeyPatch) -> None:
    troubles, times = Troubles(), [1000.0, 1059.0, 1118.0, 1179.0]
    monkeypatch.setattr(module, "now", lambda: times.pop(0))
    assert [troubles.begins(Trouble.INODES) for _ in range(4)] == [True, False, False, True]
