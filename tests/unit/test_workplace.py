"""The files of one attempt: who may see them, what becomes of them, and the request to cancel."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacifica.dispatcher.errors import ApplicationError, DiskFullError
from pacifica.dispatcher.workplace import Workplace
from tests.unit.conftest import make_event

_ASK = """
import sys
from pathlib import Path
from pacifica.dispatcher.workplace import Workplace

Workplace.of(Path(sys.argv[1]), "run", 7).ask_to_cancel()
"""


@pytest.fixture
def made(tmp_path: Path) -> Workplace:
    """The workplace of attempt 7 of a run, in a folder `runs` that was not there."""
    workplace = Workplace.of(tmp_path / "runs", "run", 7)
    workplace.make(make_event(data={"a": 1}))
    return workplace


def test_it_is_a_folder_of_the_attempts_own(made: Workplace, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run.7"
    assert sorted(each.name for each in folder.iterdir()) == ["event.json", "work"]
    assert made.directory == str(folder / "work")
    assert made.event == str(folder / "event.json")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_it_is_for_this_user_only(made: Workplace, tmp_path: Path) -> None:
    for folder in (tmp_path / "runs" / "run.7", Path(made.directory)):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_it_has_the_event(made: Workplace) -> None:
    assert json.loads(Path(made.event).read_text(encoding="utf-8")) == (
        make_event(data={"a": 1}).structured()
    )


def test_it_is_not_made_over_another(made: Workplace) -> None:
    with pytest.raises(ApplicationError, match="the working directory cannot be made"):
        made.make(make_event())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(DiskFullError, match=os.strerror(number)):
        Workplace(tmp_path / "place").make(make_event())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EROFS, errno.ENAMETOOLONG])
def test_what_else_hinders_it_is_the_applications_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(ApplicationError, match=os.strerror(number)):
        Workplace(tmp_path / "place").make(make_event())


def test_nobody_asks_to_cancel_at_first(made: Workplace) -> None:
    assert not made.cancel_asked()


def test_to_ask_twice_is_to_ask(made: Workplace) -> None:
    made.ask_to_cancel()
    made.ask_to_cancel()
    assert made.cancel_asked()


def test_another_process_asks_to_cancel(made: Workplace, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _ASK, str(tmp_path / "runs")], check=True)
    assert made.cancel_asked()


def test_another_attempt_is_not_asked(made: Workplace, tmp_path: Path) -> None:
    other = Workplace.of(tmp_path / "runs", "run", 8)
    other.make(make_event())
    other.ask_to_cancel()
    assert not made.cancel_asked()


def test_to_ask_before_it_is_made_makes_nothing(tmp_path: Path) -> None:
    workplace = Workplace.of(tmp_path / "runs", "run", 7)
    workplace.ask_to_cancel()
    assert not workplace.cancel_asked()
    assert list(tmp_path.iterdir()) == []


def test_to_ask_after_it_is_removed_makes_nothing(made: Workplace, tmp_path: Path) -> None:
    made.remove()
    made.ask_to_cancel()
    assert list((tmp_path / "runs").iterdir()) == []


def test_who_is_asked_to_cancel_finds_no_other_file(made: Workplace) -> None:
    made.ask_to_cancel()
    assert list(Path(made.directory).iterdir()) == []
    assert made.read_result() is None


@pytest.mark.parametrize("left", [[], ["result.json"], ["work/file"], ["cancel"], ["work/a/b"]])
def test_it_is_removed_with_whatever_is_in_it(
    made: Workplace, tmp_path: Path, left: list[str]
) -> None:
    for name in left:
        file = tmp_path / "runs" / "run.7" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("left", encoding="utf-8")
    made.remove()
    assert list((tmp_path / "runs").iterdir()) == []


def test_to_remove_it_twice_does_no_harm(made: Workplace, tmp_path: Path) -> None:
    made.remove()
    made.remove()
    assert list((tmp_path / "runs").iterdir()) == []
