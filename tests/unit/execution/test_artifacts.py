"""Artifacts: only regular files below the working directory can be listed and opened."""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.execution import artifacts as module
from pacifica.dispatcher.execution.artifacts import MAX_FILES, chunks, list_artifacts, open_artifact

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="opens folders by descriptors")

WAY = ("run.1", "work")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working directory with every kind of file; a secret lies outside."""
    (tmp_path / "secret").write_text("secret")
    work = tmp_path.joinpath("runs", *WAY)
    (work / "out" / "deep").mkdir(parents=True)
    (work.parent / "event.json").write_text("{}")
    (work / "a b.txt").write_text("plain")
    (work / "out" / "deep" / "größe.bin").write_bytes(b"\0\1\2")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "password").symlink_to("/etc/passwd")
    (work / "inner").symlink_to("a b.txt")
    (work / "up").symlink_to("..")
    (work / "root").symlink_to("/")
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = Path.cwd()
        os.chdir(work)  # The path of a socket is limited to about 100 bytes.
        try:
            listener.bind("socket")
        finally:
            os.chdir(previous)
    return work


@pytest.fixture
def base(work: Path) -> Path:
    return work.parents[1]


def open_files() -> int:
    """Return the number of open file descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


def names(base: Path) -> list[str]:
    return [each.name for each in list_artifacts(base, WAY)[0]]


def test_regular_files_are_listed_by_name(base: Path, work: Path) -> None:
    found, whole = list_artifacts(base, WAY)
    assert [(each.name, each.size) for each in found] == [("a b.txt", 5), ("out/deep/größe.bin", 3)]
    assert found[0].modified == (work / "a b.txt").stat().st_mtime
    assert whole


@pytest.mark.parametrize("way", [("run.1", "missing"), ("run.2", "work"), ("run.1", "event.json")])
def test_a_missing_folder_is_an_error(base: Path, way: tuple[str, str]) -> None:
    with pytest.raises(NotFoundError, match="the folder does not exist"):
        list_artifacts(base, way)


def test_a_working_directory_that_became_a_link_is_not_followed(
    base: Path, work: Path, tmp_path: Path
) -> None:
    work.rename(tmp_path / "elsewhere")
    work.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotFoundError):
        list_artifacts(base, WAY)
    with pytest.raises(NotFoundError):
        open_artifact(base, WAY, ["a b.txt"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_an_error(base: Path, work: Path) -> None:
    work.chmod(0)
    with pytest.raises(NotFoundError, match="lacks permission"):
        list_artifacts(base, WAY)
    work.chmod(0o700)


def test_a_name_that_is_not_utf8_is_shown(base: Path, work: Path) -> None:
    Path(os.fsdecode(os.fsencode(work) + b"/\xff")).write_text("")
    assert "\ufffd" in names(base)


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8")
def test_a_file_in_a_folder_whose_names_are_not_utf8_can_be_opened(base: Path, work: Path) -> None:
    folder = work / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"\xe4%")).write_text("here")
    [artifact] = [each for each in list_artifacts(base, WAY)[0] if each.path[:1] == b"\xff"]
    assert (artifact.name, artifact.quoted) == ("\ufffd/\ufffd%", "%FF/%E4%25")
    name = unquote(artifact.quoted, errors="surrogateescape").split("/")
    with open_artifact(base, WAY, name) as file:
        assert file.read() == b"here"


@pytest.mark.parametrize(("number", "whole"), [(MAX_FILES - 2, True), (MAX_FILES - 1, False)])
def test_the_number_of_listed_files_is_limited(
    base: Path, work: Path, number: int, *, whole: bool
) -> None:
    for each in range(number):
        (work / f"{each}").touch()
    found, all_ = list_artifacts(base, WAY)
    assert (len(found), all_) == (MAX_FILES, whole)


def test_the_number_of_visited_folders_is_limited(
    base: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ENTRIES", 100)
    for each in range(200):
        (work / "out" / f"{each}").mkdir()
    assert list_artifacts(base, WAY)[1] is False


def test_the_depth_of_visited_folders_is_limited(base: Path, work: Path) -> None:
    before = open_files()
    deep = work.joinpath(*["x"] * 100)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (deep.parents[80] / "file").touch()
    assert len([each for each in names(base) if each.startswith("x/")]) == 1
    assert open_files() == before


@pytest.mark.parametrize(
    ("name", "content"), [(["a b.txt"], b"plain"), (["out", "deep", "größe.bin"], b"\0\1\2")]
)
def test_a_file_is_opened(base: Path, name: list[str], content: bytes) -> None:
    with open_artifact(base, WAY, name) as file:
        assert b"".join(chunks(file, len(content))) == content


@pytest.mark.parametrize(
    "name",
    [
        ["missing"],
        [""],
        ["."],
        [".."],
        ["..", "event.json"],
        ["out", "..", "a b.txt"],
        ["out", ".", "deep"],
        ["..", "..", "..", "secret"],
        ["../event.json"],
        ["../../../secret"],
        ["out/deep/größe.bin"],
        ["/etc/passwd"],
        ["", "etc", "passwd"],
        ["a b.txt\0"],
        ["\0"],
        ["link"],
        ["password"],
        ["inner"],
        ["up", "event.json"],
        ["root", "etc", "passwd"],
        ["pipe"],
        ["socket"],
        ["out"],
        ["out", "deep"],
        ["a b.txt", "x"],
        ["pipe", "x"],
        ["x" * 300],
        ["x"] * 5000,
        ["\udcff\ud800"],
    ],
    ids=repr,
)
@pytest.mark.timeout(10)
def test_nothing_else_can_be_opened(base: Path, name: list[str]) -> None:
    before = open_files()
    with pytest.raises(NotFoundError, match=r"not found|does not exist"):
        open_artifact(base, WAY, name)
    assert open_files() == before


def test_a_file_that_grows_is_sent_with_its_first_size(base: Path, work: Path) -> None:
    with open_artifact(base, WAY, ["a b.txt"]) as file:
        (work / "a b.txt").write_text("plain and more")
        assert b"".join(chunks(file, 5)) == b"plain"


def test_a_file_that_shrinks_is_an_error(base: Path, work: Path) -> None:
    with open_artifact(base, WAY, ["a b.txt"]) as file:
        os.truncate(work / "a b.txt", 2)
        with pytest.raises(NotFoundError, match="became shorter"):
            list(chunks(file, 5))


def test_a_large_file_is_read_in_small_chunks(base: Path, work: Path) -> None:
    with (work / "large").open("wb") as file:
        file.truncate(10 * 1024**2)
    with open_artifact(base, WAY, ["large"]) as opened:
        sizes = [len(each) for each in chunks(opened, 10 * 1024**2)]
    assert (sum(sizes), max(sizes)) == (10 * 1024**2, 64 * 1024)
