"""Runs, their output and their files."""

import os
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.progress import Progress
from pacifica.dispatcher.execution.workdir import Workdir
from tests.factories import apps, change, claimant, claimed_run, due, make_event, published_run
from tests.unit.rest.factories import Client


def test_a_run_is_shown_with_its_attempts(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.postpone(
        database, claim, orm.State.QUEUED, orm.Outcome(signal="SIGTERM", error="stopped"), [], due=0
    )
    due(database)
    orm.claim(database, claim.run, replace(claimant(), host="other"))
    shown = client.get(f"/runs/{claim.run}").json
    assert (shown["uuid"], shown["event"], shown["status"], shown["host"]) == (
        claim.run, claim.event, "running", "other",
    )  # fmt: skip
    first, second = shown["attempts"]
    assert (first["number"], first["signal"], first["error"]) == (1, "SIGTERM", "stopped")
    assert (second["number"], second["host"], second["finished"]) == (2, "other", None)


def test_a_run_shows_the_progress_of_its_last_attempt(
    client: Client, database: orm.Database
) -> None:
    first = claimed_run(database)
    notes = orm.Outcome(
        command=["convert", "a b"], progress=Progress(40, "file 4 of 10"), last_line="disk full"
    )
    orm.postpone(database, first, orm.State.QUEUED, notes, [], due=0)
    shown = [client.get(f"/runs/{first.run}").json]
    due(database)
    orm.claim(database, first.run, claimant())
    shown.append(client.get(f"/runs/{first.run}").json)
    progress = {"percent": 40, "text": "file 4 of 10"}
    assert [each["progress"] for each in shown] == [progress, None]
    one, two = shown[1]["attempts"]
    assert (one["command"], one["pid"], one["progress"], one["last_line"]) == (
        ["convert", "a b"], 1, progress, "disk full",
    )  # fmt: skip
    assert (two["command"], two["progress"], two["last_line"]) == (None, None, None)


@pytest.fixture
def written(database: orm.Database) -> str:
    """The uuid of a run with output in both of its attempts."""
    first = claimed_run(database)
    orm.postpone(
        database, first, orm.State.QUEUED, orm.Outcome(), [Piece("stdout", 0, 1.0, b"first")], due=0
    )
    due(database)
    claim = orm.claim(database, first.run, claimant())
    assert claim is not None
    pieces = [
        Piece("stdout", 0, 2.0, b"<out>\xff\n"),
        Piece("stderr", 0, 3.0, b"err\n"),
        Piece("stdout", 107, 4.0, b"end\n"),
    ]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0), pieces)
    return claim.run


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "<out>\ufffd\nerr\n\n[… 100 bytes of stdout were not kept …]\nend\n"),
        ("?stream=stderr", "err\n"),
        ("?stream=stdout", "<out>\ufffd\n\n[… 100 bytes of stdout were not kept …]\nend\n"),
        ("?attempt=1", "first"),
        ("?attempt=2&stream=stderr", "err\n"),
    ],
)
def test_the_output_of_a_run(client: Client, written: str, query: str, text: str) -> None:
    response = client.get(f"/runs/{written}/output{query}")
    assert response.text == text
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "query",
    ["stream=stdin", "stream=", "attempt=x", "attempt=-1", "attempt=", "attempt=1&attempt=2",
     "stream=stdout&stream=stderr", "unknown=1", "self=1"],
)  # fmt: skip
def test_an_invalid_parameter_of_output_is_refused(
    client: Client, written: str, query: str
) -> None:
    client.get(f"/runs/{written}/output?{query}").problem(400)


def test_an_unknown_attempt_is_not_found(client: Client, written: str) -> None:
    problem = client.get(f"/runs/{written}/output?attempt=3").problem(404)
    assert problem["detail"] == f"No attempt 3 of run {written}"


def test_a_run_that_has_not_started_has_no_output(client: Client, database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    [run] = orm.event(database, accepted.uuid).runs
    response = client.get(f"/runs/{run.uuid}/output")
    assert (response.status, response.text) == (200, "")


def test_a_character_split_across_pieces_is_whole(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", 0, 1.0, b"\xc3"), Piece("stdout", 1, 2.0, b"\xa4")]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    assert client.get(f"/runs/{claim.run}/output").text == "\u00e4"


@pytest.fixture
def work(context: rest.Context, database: orm.Database) -> tuple[str, Path]:
    """The uuid of a failed run, and its working directory."""
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.FAILED, orm.Outcome(exit_code=1), [])
    folder = Path(Workdir.of(context.directory, claim.run, 1).directory)
    (folder / "out").mkdir(parents=True)
    (folder.parent / "event.json").write_text("{}")
    (folder / "out" / "a ä.html").write_text("<script>")
    (folder / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.utime(folder / "out" / "a ä.html", (1.5, 1.5))
    return claim.run, folder


def open_files() -> int:
    """Return the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("query", ["", "?attempt=1"])
def test_the_files_that_an_attempt_left(client: Client, work: tuple[str, Path], query: str) -> None:
    file = {
        "name": "out/a ä.html",
        "size": 8,
        "modified": "1970-01-01T00:00:01.500Z",
        "url": f"/runs/{work[0]}/files/out/a%20%C3%A4.html?attempt=1",
    }
    assert client.get(f"/runs/{work[0]}/files{query}").json == {"files": [file], "reason": None}
    assert client.get(f"/runs/{work[0]}/files/{query}").json["files"] == [file]


def test_a_file_that_an_attempt_left_is_a_download(client: Client, work: tuple[str, Path]) -> None:
    response = client.get(f"/runs/{work[0]}/files/out/a%20%C3%A4.html?attempt=1")
    assert (response.status, response.body) == (200, b"<script>")
    shown = {name: text for name, text in response.headers.items() if name.startswith("content")}
    assert shown == {
        "content-type": "application/octet-stream",
        "content-disposition": "attachment; filename*=UTF-8''a%20%C3%A4.html",
        "content-length": "8",
    }
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8")
def test_a_file_whose_name_is_not_utf8_can_be_fetched(
    client: Client, work: tuple[str, Path]
) -> None:
    Path(os.fsdecode(os.fsencode(work[1]) + b"/\xff \xe4.dat")).write_text("here")
    files = client.get(f"/runs/{work[0]}/files").json["files"]
    [file] = [each for each in files if each["name"] == "\ufffd \ufffd.dat"]
    response = client.get(file["url"])
    assert (response.status, response.body) == (200, b"here")
    disposition = "attachment; filename*=UTF-8''%FF%20%E4.dat"
    assert response.headers["content-disposition"] == disposition
    page = client.get(f"/runs/{work[0]}", accept="text/html").body.decode()
    assert f'<a href="{file["url"]}">' in page


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/applications/%ff", 404),
        ("/runs/%ff", 422),
        ("/runs/%ff/files/%ff", 422),
        ("/events/%ff", 422),
        ("/%ff", 404),
        ("/static/%ff", 404),
    ],
)
def test_a_path_that_is_not_utf8_is_an_ordinary_path(
    client: Client, address: str, status: int
) -> None:
    client.get(address).problem(status)


def test_a_head_request_for_a_file_leaves_nothing_open(
    client: Client, work: tuple[str, Path]
) -> None:
    before = open_files()
    response = client.request("HEAD", f"/runs/{work[0]}/files/out/a%20%C3%A4.html")
    assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "8")
    assert open_files() == before


@pytest.mark.parametrize(
    "name",
    [
        "missing", "out", "out/", ".", "..", "../event.json", "%2e%2e/event.json", "out/../passwd",
        "%2e%2e%2fevent.json", "..%2Fevent.json", "..%2F..%2F..%2Fdb.sqlite3", "%2Fetc%2Fpasswd",
        "/etc/passwd", "passwd", "pipe", "a%00b", "%00", "%ff",
        "..%5Cevent.json", "out/a%20%C3%A4.html/x", "x" * 5000,
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_only_files_that_an_attempt_left_are_served(
    client: Client, work: tuple[str, Path], name: str
) -> None:
    client.get(f"/runs/{work[0]}/files/{name}").problem(404)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("files?attempt=2", 404),
        ("files/x?attempt=2", 404),
        ("files?attempt=x", 400),
        ("files?x=1", 400),
    ],
)
def test_an_invalid_request_for_files_is_refused(
    client: Client, work: tuple[str, Path], target: str, status: int
) -> None:
    client.get(f"/runs/{work[0]}/{target}").problem(status)


def reason_for_no_files(client: Client, run: str) -> str:
    document = client.get(f"/runs/{run}/files").json
    assert document["files"] == []
    return str(document["reason"])


def test_the_reason_for_no_files_is_given(
    client: Client, database: orm.Database, work: tuple[str, Path]
) -> None:
    waiting = published_run(database, 7)
    assert reason_for_no_files(client, waiting) == "No attempt has started yet"
    orm.claim(database, waiting, claimant(host="far-away"))
    assert "is on host far-away" in reason_for_no_files(client, waiting)
    change(database, "UPDATE attempt SET host = ?", (socket.gethostname(),))
    assert "The working directory was not kept" in reason_for_no_files(client, waiting)
    shutil.rmtree(work[1])
    work[1].mkdir()
    assert reason_for_no_files(client, work[0]) == "The working directory has no files"
