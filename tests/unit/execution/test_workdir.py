"""The files of an attempt: permissions and removal."""

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from pacifica.dispatcher.errors import ApplicationError, DiskFullError
from pacifica.dispatcher.execution.workdir import Workdir
from tests.factories import make_event


@pytest.fixture
def made(tmp_path: Path) -> Workdir:
    """The workdir of attempt 7 of a run, in a new folder `runs`."""
    workdir = Workdir.of(tmp_path / "runs", "run", 7)
    workdir.make(make_event(data={"a": 1}))
    return workdir


def test_each_attempt_has_its_own_folder(made: Workdir, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run.7"
    assert sorted(each.name for each in folder.iterdir()) == ["event.json", "work"]
    assert made.directory == str(folder / "work")
    assert made.event == str(folder / "event.json")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_workdir_is_private_to_the_user(made: Workdir, tmp_path: Path) -> None:
    for folder in (tmp_path / "runs" / "run.7", Path(made.directory)):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_workdir_contains_the_event(made: Workdir) -> None:
    assert json.loads(Path(made.event).read_text(encoding="utf-8")) == (
        make_event(data={"a": 1}).structured()
    )


def test_an_existing_folder_is_not_reused(made: Workdir) -> None:
    with pytest.raises(ApplicationError, match="cannot create the working directory"):
        made.make(make_event())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_disk_full_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(DiskFullError, match=os.strerror(number)):
        Workdir(tmp_path / "place").make(make_event())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EROFS, errno.ENAMETOOLONG])
def test_any_other_problem_is_an_application_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ApplicationError, match=os.strerror(number)):
        Workdir(tmp_path / "place").make(make_event())


@pytest.mark.parametrize("left", [[], ["result.json"], ["work/file"], ["work/a/b"]])
def test_a_workdir_is_removed_with_its_content(
    made: Workdir, tmp_path: Path, left: list[str]
) -> None:
    for name in left:
        file = tmp_path / "runs" / "run.7" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("left", encoding="utf-8")
    made.remove()
    assert list((tmp_path / "runs").iterdir()) == []


def test_removing_a_workdir_twice_is_harmless(made: Workdir, tmp_path: Path) -> None:
    made.remove()
    made.remove()
    assert list((tmp_path / "runs").iterdir()) == []
