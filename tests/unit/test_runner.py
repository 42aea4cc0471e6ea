"""One attempt: what the application gets, what is made of what it leaves, and what is recorded."""

import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, Keep, Retry
from pacifica.dispatcher.command import Argument, Command, Placeholder
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.lease import Lease
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.process import Stop, now
from pacifica.dispatcher.runner import Runner
from pacifica.dispatcher.workplace import MAX_RESULT, Workplace
from tests.support import Proxy, wait_until
from tests.unit.conftest import (
    DEADLINE,
    accepted_runs,
    change,
    claimant,
    claimed_run,
    due,
    make_event,
    view,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")

_TELL = """
import json, os, sys
with open(os.environ["DISPATCHER_EVENT"], encoding="utf-8") as file:
    event = json.load(file)
told = {
    "environment": dict(os.environ),
    "arguments": sys.argv[1:],
    "stdin": sys.stdin.read(),
    "event": event,
    "directory": os.getcwd(),
    "files": os.listdir(),
    "mode": os.stat(".").st_mode & 0o777,
}
print(json.dumps(told))
"""


@dataclass
class Told:
    """What a run of the application that tells everything saw."""

    environment: dict[str, str]
    arguments: list[str]
    stdin: str
    event: dict[str, Json]
    directory: str
    files: list[str]
    mode: int


@dataclass
class Place:
    """A runner, and how to have it run something."""

    database: orm.Database
    runner: Runner

    def offer(self, application: Application, event: Event) -> str:
        """The uuid of a run of the application that can be claimed."""
        self.runner = replace(
            self.runner, applications={**self.runner.applications, application.name: application}
        )
        [run] = accepted_runs(self.database, event, application.name)
        assert run in due(self.database)
        return run

    def run(self, application: Application, event: Event | None = None) -> orm.RunView:
        """How a run of the application ends."""
        run = self.offer(application, event or make_event())
        self.runner.run(run)
        return view(self.database, run)

    def again(self, run: str) -> None:
        """Make a further attempt at a run that is due."""
        assert due(self.database) == [run]
        self.runner.run(run)

    def status(self, run: str) -> str:
        return view(self.database, run).status

    def output(self, run: orm.RunView, stream: str = "stdout") -> str:
        pieces = orm.output(self.database, run.uuid, run.attempt, stream)
        return b"".join(piece.data for piece in pieces).decode()

    def tell(self, event: Event, *arguments: Argument, **environment: str) -> Told:
        """What an application sees of the event."""
        script = Command(sys.executable, (Argument(("-c",)), Argument((_TELL,)), *arguments))
        run = self.run(Application("tell", script, environment=environment), event)
        return Told(**json.loads(self.output(run)))

    def folders(self) -> list[str]:
        """The folders of attempts that were kept."""
        folder = self.runner.directory
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def place(database: orm.Database, tmp_path: Path) -> Iterator[Place]:
    stop, lease = Stop(), Lease()
    lease.set(orm.new_uuid(), now() + 600)
    runner = Runner(
        database=database,
        applications={},
        directory=tmp_path / "runs",
        home=tmp_path,
        host="this-host",
        stop=stop,
        lease=lease,
    )
    yield Place(database, runner)
    stop.close()


def shell(script: str, keep: Keep = Keep.FAILED) -> Application:
    command = Command("/bin/sh", (Argument(("-c",)), Argument((script,))))
    return Application("shell", command, keep=keep)


def handler(tmp_path: Path, source: str, name: str) -> Application:
    (tmp_path / "given_handlers.py").write_text(source, encoding="utf-8")
    return Application("handler", Handler("given_handlers", name))


def test_exit_code_0_is_success(place: Place) -> None:
    run = place.run(shell("echo said; echo told >&2"))
    assert (run.status, run.exit_code, run.signal, run.error, run.result) == (
        "succeeded", 0, None, None, None,
    )  # fmt: skip
    assert (run.attempt, run.host) == (1, "this-host")
    assert (place.output(run, "stdout"), place.output(run, "stderr")) == ("said\n", "told\n")


def test_another_exit_code_is_failure(place: Place) -> None:
    run = place.run(shell("exit 3"))
    assert (run.status, run.exit_code) == ("failed", 3)
    assert run.error == "it ended with exit code 3"


def test_a_signal_is_failure(place: Place) -> None:
    run = place.run(shell("kill -9 $$"))
    assert (run.status, run.exit_code, run.signal) == ("failed", None, "SIGKILL")
    assert run.error == "it was ended by SIGKILL"


def test_too_long_is_failure(place: Place) -> None:
    run = place.run(replace(shell("echo begun; sleep 60"), timeout=0.2))
    assert (run.status, run.signal) == ("failed", "SIGTERM")
    assert run.error == "it took longer than 0.2 s"
    assert place.output(run) == "begun\n"


def test_the_event_comes_on_stdin_and_in_a_file(place: Place) -> None:
    event = make_event(data={"path": "/a", "bytes": [1, None, True, 1.5, "\u00e4\ud800"]})
    told = place.tell(event)
    assert told.event == json.loads(told.stdin) == event.structured()


def test_an_event_of_version_01_comes_as_one_of_1_0(place: Place) -> None:
    sent = {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"}
    told = place.tell(events.parse(json.dumps(sent)))
    assert told.event == {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def test_attributes_come_as_variables(place: Place) -> None:
    told = place.tell(make_event(7, subject="a=b c\u00e4", flag=True, number=-5))
    assert {name: text for name, text in told.environment.items() if name[:3] == "CE_"} == {
        "CE_SPECVERSION": "1.0",
        "CE_ID": "7",
        "CE_SOURCE": "/tests",
        "CE_TYPE": "org.example",
        "CE_SUBJECT": "a=b c\u00e4",
        "CE_FLAG": "true",
        "CE_NUMBER": "-5",
    }


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_trace_and_the_correlation_of_an_event_come_as_variables(place: Place) -> None:
    told = place.tell(
        make_event(traceparent=TRACE, tracestate="a=b,c=d", correlationid="1", causationid="2")
    )
    names = ("TRACEPARENT", "TRACESTATE", "CE_TRACEPARENT", "CE_CORRELATIONID", "CE_CAUSATIONID")
    assert [told.environment[name] for name in names] == [TRACE, "a=b,c=d", TRACE, "1", "2"]


def test_the_configured_trace_has_precedence(place: Place) -> None:
    told = place.tell(make_event(traceparent=TRACE), TRACEPARENT="mine")
    assert told.environment["TRACEPARENT"] == "mine"


def test_the_run_is_named_in_variables(place: Place) -> None:
    told = place.tell(make_event())
    [run] = orm.search(place.database, orm.EventFilter(), 1).events[0].runs
    folder = place.runner.directory / f"{run.uuid}.1"
    named = {name: text for name, text in told.environment.items() if name[:11] == "DISPATCHER_"}
    assert named == {
        "DISPATCHER_EVENT": str(folder / "event.json"),
        "DISPATCHER_RESULT": str(folder / "result.json"),
        "DISPATCHER_RUN": run.uuid,
        "DISPATCHER_ATTEMPT": "1",
        "DISPATCHER_APPLICATION": "tell",
        "DISPATCHER_WORKER": place.runner.lease.worker,
    }


def test_the_configured_environment_is_added(place: Place) -> None:
    told = place.tell(make_event(), COLOR="blue", PATH="/mine")
    assert (told.environment["COLOR"], told.environment["PATH"]) == ("blue", "/mine")


def test_the_rest_of_the_environment_is_inherited(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_WORKER", "yes")
    assert place.tell(make_event()).environment["OF_THE_WORKER"] == "yes"


@pytest.mark.parametrize(
    "name",
    [
        *("BROKER_URL", "PEEWEE_URL", "DISPATCHER_CONFIG", "DISPATCHER_LIFELINE", "CE_OLD"),
        *("TRACEPARENT", "TRACESTATE"),
    ],
)
def test_what_is_the_dispatchers_own_is_not_inherited(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "secret")
    assert name not in place.tell(make_event()).environment


def test_an_event_cannot_replace_the_configured_environment(place: Place) -> None:
    told = place.tell(make_event(path="/evil", ldpreload="/evil"))
    assert told.environment["PATH"] == os.environ["PATH"]


def test_the_working_directory_is_fresh_empty_and_private(place: Place) -> None:
    one, two = place.tell(make_event(1)), place.tell(make_event(2))
    assert one.directory != two.directory
    assert (one.files, two.files, one.mode) == ([], [], 0o700)


def test_placeholders_are_filled(place: Place) -> None:
    path, number = Argument((Placeholder("data.path"),)), Argument(("n=", Placeholder("id")))
    told = place.tell(make_event(7, data={"path": "/a; rm $HOME"}), path, number)
    assert told.arguments == ["/a; rm $HOME", "n=7"]


def test_a_placeholder_that_the_event_lacks_is_failure(place: Place) -> None:
    command = Command("echo", (Argument((Placeholder("data.path"),)),))
    run = place.run(Application("app", command), make_event(data={}))
    assert (run.status, run.exit_code) == ("failed", None)
    assert run.error == "the event has nothing at {data.path}"


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_missing_program_is_failure(place: Place, program: str) -> None:
    run = place.run(Application("app", Command(program, ())))
    assert run.status == "failed"
    assert (run.error or "").startswith(f"there is no program {program}")


def test_an_attribute_too_large_for_a_variable_is_failure(place: Place) -> None:
    run = place.run(shell("exit 0"), make_event(subject="x" * 8 * 1024**2))
    assert run.status == "failed"
    assert "$DISPATCHER_EVENT always works" in (run.error or "")


def test_large_data_is_no_trouble(place: Place) -> None:
    run = place.run(shell('wc -c < "$DISPATCHER_EVENT"'), make_event(data="x" * 8 * 1024**2))
    assert run.status == "succeeded"
    assert int(place.output(run)) > 8 * 1024**2


def test_an_unknown_application_is_failure(place: Place) -> None:
    run = place.offer(shell("exit 0"), make_event())
    place.runner = replace(place.runner, applications={})
    place.runner.run(run)
    ended, [attempt] = orm.run(place.database, run)
    assert ended.status == "failed"
    assert ended.error == attempt.error == "no application shell is configured on this-host"
    assert attempt.finished is not None


def test_a_working_directory_that_cannot_be_made_is_failure(place: Place) -> None:
    place.runner.directory.write_text("in the way", encoding="utf-8")
    run = place.run(shell("exit 0"))
    assert run.status == "failed"
    assert (run.error or "").startswith("the working directory cannot be made")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("4", 4),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("null", None),
        ('  "\u00e4" ', "\u00e4"),
        ("false", False),
    ],
)
def test_the_result_is_recorded(place: Place, text: str, result: Json) -> None:
    run = place.run(shell(f"printf '%s' '{text}' > $DISPATCHER_RESULT"))
    assert (run.status, run.error) == ("succeeded", None)
    assert run.result == result


def test_a_failed_run_has_a_result_too(place: Place) -> None:
    run = place.run(shell("echo 4 > $DISPATCHER_RESULT; exit 1"))
    assert (run.status, run.exit_code, run.result) == ("failed", 1, 4)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (": > $DISPATCHER_RESULT", "its result is not usable"),
        ("echo hello > $DISPATCHER_RESULT", "its result is not usable"),
        ("echo NaN > $DISPATCHER_RESULT", "its result is not usable"),
        ("printf '\\377' > $DISPATCHER_RESULT", "its result is not usable: it is not UTF-8"),
        ("echo 1 2 > $DISPATCHER_RESULT", "its result is not usable"),
        ("head -c 1000000 /dev/zero | tr '\\0' [ > $DISPATCHER_RESULT", "nested deeper"),
        ("head -c 2000000 /dev/zero | tr '\\0' 1 > $DISPATCHER_RESULT", "its result is larger"),
        ("ln -s /dev/zero $DISPATCHER_RESULT", "its result is no file"),
        ("mkdir $DISPATCHER_RESULT", "its result is no file"),
    ],
)
def test_a_result_that_is_not_usable_is_failure(place: Place, script: str, error: str) -> None:
    run = place.run(shell(script))
    assert (run.status, run.result) == ("failed", None)
    assert error in (run.error or "")


@pytest.mark.parametrize("script", ["echo hello > $DISPATCHER_RESULT", "mkdir $DISPATCHER_RESULT"])
def test_a_result_that_is_not_usable_does_not_hide_the_exit_code(place: Place, script: str) -> None:
    run = place.run(shell(f"{script}; exit 3"))
    assert (run.status, run.exit_code, run.result) == ("failed", 3, None)


def test_a_result_that_was_cut_off_does_not_hide_the_signal(place: Place) -> None:
    run = place.run(shell("printf '{' > $DISPATCHER_RESULT; kill -9 $$"))
    assert (run.status, run.signal, run.result) == ("failed", "SIGKILL", None)


def test_a_result_may_be_as_large_as_promised(place: Place) -> None:
    script = f"head -c {MAX_RESULT} /dev/zero | tr '\\0' ' ' | sed 's/^ /1/' > $DISPATCHER_RESULT"
    assert place.run(shell(script)).result == 1


def test_a_pipe_in_place_of_the_result_holds_nobody_up(place: Place) -> None:
    run = place.offer(shell("mkfifo $DISPATCHER_RESULT", Keep.ALWAYS), make_event())
    thread = threading.Thread(target=place.runner.run, args=(run,))
    thread.start()
    thread.join(2)
    held_up = thread.is_alive()
    if held_up:
        pipe = place.runner.directory / f"{run}.1" / "result.json"
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        thread.join(DEADLINE)
    assert not held_up
    assert view(place.database, run).status == "failed"


@pytest.mark.parametrize(
    ("keep", "script", "kept"),
    [
        (Keep.FAILED, "exit 0", False),
        (Keep.FAILED, "exit 1", True),
        (Keep.FAILED, "kill -9 $$", True),
        (Keep.FAILED, "echo no JSON > $DISPATCHER_RESULT", True),
        (Keep.ALWAYS, "exit 0", True),
        (Keep.ALWAYS, "exit 1", True),
        (Keep.NEVER, "exit 0", False),
        (Keep.NEVER, "exit 1", False),
    ],
)
def test_working_directories_are_kept_as_configured(
    place: Place, keep: Keep, script: str, *, kept: bool
) -> None:
    run = place.run(shell(f"echo content > file; {script}", keep))
    assert place.folders() == ([f"{run.uuid}.1"] if kept else [])
    if kept:
        file = place.runner.directory / f"{run.uuid}.1" / "work" / "file"
        assert file.read_text(encoding="utf-8") == "content\n"


def test_output_is_bounded(place: Place) -> None:
    run = place.run(replace(shell("yes | head -c 1000000; echo the end"), max_output=1000))
    pieces = orm.output(place.database, run.uuid, 1, None)
    assert [(piece.position, len(piece.data)) for piece in pieces] == [(0, 500), (999_508, 500)]
    assert pieces[-1].data.endswith(b"the end\n")


def test_output_is_saved_while_the_application_runs(place: Place, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    script = f"echo early; while test -e '{tmp_path}/go'; do sleep 0.02; done; echo late"
    run = place.offer(shell(script), make_event())
    thread = threading.Thread(target=place.runner.run, args=(run,))
    thread.start()
    wait_until(lambda: orm.output(place.database, run, 1, None))
    early = place.output(view(place.database, run))
    status = view(place.database, run).status
    (tmp_path / "go").unlink()
    thread.join(DEADLINE)
    assert (early, status) == ("early\n", "running")
    assert place.output(view(place.database, run)) == "early\nlate\n"


def test_a_database_that_fails_for_a_moment_does_not_end_the_application(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    script = f"echo early; while test -e '{tmp_path}/go'; do sleep 0.02; done; echo late"
    run = place.offer(shell(script), make_event())
    change(place.database, "ALTER TABLE output RENAME TO elsewhere")
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(place.runner.run, run)
        wait([attempt], timeout=2)  # output is saved once a second
        change(place.database, "ALTER TABLE elsewhere RENAME TO output")
        (tmp_path / "go").unlink()
        attempt.result(DEADLINE)
    assert view(place.database, run).status == "succeeded"
    assert place.output(view(place.database, run)) == "early\nlate\n"


def test_a_run_that_somebody_else_has_is_left_alone(place: Place) -> None:
    claim = claimed_run(place.database)
    before = orm.run(place.database, claim.run)
    place.runner.run(claim.run)
    assert orm.run(place.database, claim.run) == before
    assert place.folders() == []


def test_a_wakeup_that_comes_twice_runs_once(place: Place) -> None:
    run = place.run(shell("echo once"))
    place.runner.run(run.uuid)
    assert len(orm.run(place.database, run.uuid)[1]) == 1


def test_an_attempt_that_is_no_longer_ours_records_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    script = f"while test -e '{tmp_path}/go'; do sleep 0.02; done; echo stale"
    run = place.offer(shell(script), make_event())
    thread = threading.Thread(target=place.runner.run, args=(run,))
    thread.start()
    wait_until(lambda: view(place.database, run).status == "running")
    [held] = orm.held(place.database, place.runner.lease.worker)
    assert orm.crash(place.database, held, "it was taken away", 3) is orm.State.QUEUED
    (tmp_path / "go").unlink()
    thread.join(DEADLINE)
    assert view(place.database, run).status == "queued"
    assert place.output(view(place.database, run)) == ""


def test_a_stop_before_the_claim_leaves_the_run_to_others(place: Place) -> None:
    run = place.offer(shell("exit 0"), make_event())
    place.runner.stop.request()
    place.runner.run(run)
    assert orm.run(place.database, run)[1] == ()
    assert due(place.database) == [run]


@pytest.mark.parametrize(("keep", "kept"), [(Keep.FAILED, False), (Keep.ALWAYS, True)])
def test_a_stop_during_a_run_releases_it(
    place: Place, tmp_path: Path, keep: Keep, *, kept: bool
) -> None:
    begun = tmp_path / "begun"
    run = place.offer(shell(f"touch '{begun}'; sleep 60", keep), make_event())
    thread = threading.Thread(target=place.runner.run, args=(run,))
    thread.start()
    wait_until(begun.exists)
    place.runner.stop.request()
    thread.join(DEADLINE)
    released, [attempt] = orm.run(place.database, run)
    assert (released.status, attempt.signal) == ("queued", "SIGTERM")
    assert attempt.error == "the worker was stopped; the run is taken up again"
    assert place.folders() == ([f"{run}.1"] if kept else [])


def test_a_run_that_was_released_is_taken_up_again(place: Place) -> None:
    run = place.offer(shell("echo $DISPATCHER_ATTEMPT"), make_event())
    claim = orm.claim(place.database, run, claimant())
    assert claim is not None
    orm.release(place.database, claim, orm.Outcome(), [], due=0)
    assert due(place.database) == [run]
    place.runner.run(run)
    assert view(place.database, run).status == "succeeded"
    assert place.output(view(place.database, run)) == "2\n"


def test_without_a_lease_a_run_is_left_to_others(place: Place) -> None:
    run = place.offer(shell("exit 0"), make_event())
    place.runner.lease.set(place.runner.lease.worker, now() - 1)
    place.runner.run(run)
    assert orm.run(place.database, run)[1] == ()
    assert due(place.database) == [run]


def test_an_orphan_leaves_a_run_to_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.offer(shell("exit 0"), make_event())
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        place.runner.stop.inherited()  # nobody has the creator's end now
    place.runner.run(run)
    assert orm.run(place.database, run)[1] == ()
    assert due(place.database) == [run]


def test_without_the_database_a_run_is_not_claimed(place: Place) -> None:
    run = place.offer(shell("exit 0"), make_event())
    change(place.database, "ALTER TABLE attempt RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        place.runner.run(run)
    change(place.database, "ALTER TABLE elsewhere RENAME TO attempt")
    assert place.folders() == []
    place.runner.run(run)
    assert view(place.database, run).status == "succeeded"


# Retries


def retrying(script: str, /, **settings: Any) -> Application:  # noqa: ANN401 - any of Retry's fields
    """An application that may be tried three times, at once unless something else is given."""
    return replace(shell(script), retry=Retry(**{"retries": 2, "delay": 0.0, **settings}))


def test_a_failure_is_followed_by_as_many_attempts_as_there_are_retries(place: Place) -> None:
    run = place.run(retrying("exit 3")).uuid
    seen = [place.status(run)]
    for _ in range(2):
        assert due(place.database) == [run]
        place.runner.run(run)
        seen.append(place.status(run))
    assert seen == ["retrying", "retrying", "failed"]
    assert due(place.database) == []
    ended, attempts = orm.run(place.database, run)
    assert (ended.attempt, ended.error) == (3, "it ended with exit code 3")
    assert [(each.exit_code, each.error) for each in attempts] == [
        (3, "it ended with exit code 3")
    ] * 3


def test_a_success_ends_the_retries(place: Place) -> None:
    run = place.run(retrying("test $DISPATCHER_ATTEMPT = 2")).uuid
    place.again(run)
    ended, attempts = orm.run(place.database, run)
    assert (ended.status, ended.error, ended.attempt) == ("succeeded", None, 2)
    assert [each.exit_code for each in attempts] == [1, 0]
    assert due(place.database) == []


def test_a_run_between_two_attempts_says_what_went_wrong(place: Place) -> None:
    run = place.run(retrying("exit 3", delay=1000.0))
    assert (run.status, run.error, run.exit_code) == ("retrying", "it ended with exit code 3", 3)
    assert run.finished is None


def test_the_output_of_every_attempt_is_kept(place: Place) -> None:
    run = place.run(retrying("echo $DISPATCHER_ATTEMPT; exit 1")).uuid
    place.again(run)
    place.again(run)
    output = [orm.output(place.database, run, attempt, "stdout") for attempt in (1, 2, 3)]
    assert [piece.data for pieces in output for piece in pieces] == [b"1\n", b"2\n", b"3\n"]


def test_the_folder_of_every_failed_attempt_is_kept(place: Place) -> None:
    run = place.run(retrying("test $DISPATCHER_ATTEMPT = 3")).uuid
    place.again(run)
    place.again(run)
    assert place.status(run) == "succeeded"
    assert place.folders() == [f"{run}.1", f"{run}.2"]


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 100.0), (2, 200.0), (3, 400.0), (4, 450.0), (5, 450.0)]
)
def test_an_attempt_follows_within_its_delay(place: Place, attempt: int, longest: float) -> None:
    run = place.run(retrying("exit 1", retries=9, delay=100.0, delay_max=450.0)).uuid
    for _ in range(attempt - 1):
        change(place.database, "UPDATE run SET due = 0")
        place.again(run)
    ended, attempts = orm.run(place.database, run)
    assert ended.due is not None
    finished = attempts[-1].finished
    assert finished is not None
    assert len(attempts) == attempt
    assert finished - 1 <= ended.due <= finished + longest


def test_the_delays_differ(place: Place) -> None:
    application = retrying("exit 1", delay=1000.0)
    waits = [place.run(application, make_event(number)).due for number in range(5)]
    assert len({round(wait or 0.0) for wait in waits}) > 1


def test_a_retry_is_not_due_before_its_time(place: Place) -> None:
    run = place.run(retrying("exit 1", delay=100_000.0, delay_max=100_000.0)).uuid
    change(place.database, "UPDATE run SET due = due + 10")
    assert due(place.database) == []
    assert place.status(run) == "retrying"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 75", "retrying"),
        ("exit 1", "failed"),
        ("kill -9 $$", "failed"),
        ("echo no JSON > $DISPATCHER_RESULT; exit 75", "retrying"),
        ("echo no JSON > $DISPATCHER_RESULT", "failed"),
    ],
)
def test_only_the_exit_codes_that_are_named_are_retried(
    place: Place, script: str, status: str
) -> None:
    assert place.run(retrying(script, exit_codes=frozenset({75}))).status == status


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(retrying("kill -9 $$"), id="a signal"),
        pytest.param(replace(retrying("sleep 60"), timeout=0.2), id="its time was up"),
        pytest.param(retrying("echo no JSON > $DISPATCHER_RESULT"), id="its result"),
        pytest.param(
            Application("app", Command("no-such-program", ()), retry=Retry(1)), id="no program"
        ),
        pytest.param(
            Application(
                "app", Command("echo", (Argument((Placeholder("data.path"),)),)), retry=Retry(1)
            ),
            id="a placeholder",
        ),
    ],
)
def test_any_failure_is_retried(place: Place, application: Application) -> None:
    assert place.run(application).status == "retrying"


def test_a_stop_is_no_failure(place: Place) -> None:
    run = place.offer(retrying("exit 1", retries=1), make_event())
    claim = orm.claim(place.database, run, claimant())
    assert claim is not None
    orm.release(place.database, claim, orm.Outcome(), [], due=0)
    place.again(run)
    assert place.status(run) == "retrying"
    place.again(run)
    assert place.status(run) == "failed"


def test_a_retry_by_hand_has_all_retries_again(place: Place) -> None:
    run = place.run(retrying("exit 1", retries=1)).uuid
    place.again(run)
    assert place.status(run) == "failed"
    orm.retry(place.database, run, place.runner.applications)
    place.again(run)
    assert (place.status(run), view(place.database, run).attempt) == ("retrying", 3)


# Cancelling


@dataclass
class Begun:
    """An attempt in a thread of its own, whose application has begun."""

    run: str
    workplace: Workplace
    attempt: Future[None]


@pytest.fixture
def begin(place: Place, tmp_path: Path) -> Iterator[Callable[..., Begun]]:
    """Begins an attempt; its application touches the file `begun` when it has."""
    with ThreadPoolExecutor(1) as pool:

        def begin(script: str, /, **settings: Any) -> Begun:  # noqa: ANN401 - any of its fields
            application = replace(shell(script.format(f"touch '{tmp_path}/begun'")), **settings)
            run = place.offer(application, make_event())
            workplace = Workplace.of(place.runner.directory, run, 1)
            begun = Begun(run, workplace, pool.submit(place.runner.run, run))
            wait_until((tmp_path / "begun").exists, timeout=DEADLINE)
            return begun

        yield begin
        place.runner.stop.request()


def test_who_is_asked_to_cancel_ends_it(place: Place, begin: Callable[..., Begun]) -> None:
    begun = begin("echo said; {}; exec sleep 60", retry=Retry(5))
    begun.workplace.ask_to_cancel()
    begun.attempt.result(DEADLINE)
    ended, [attempt] = orm.run(place.database, begun.run)
    assert (ended.status, ended.error, ended.signal) == (
        "cancelled", "it was cancelled", "SIGTERM",
    )  # fmt: skip
    assert (attempt.error, attempt.signal) == ("it was cancelled", "SIGTERM")
    assert place.output(ended) == "said\n"
    assert place.folders() == []


def test_who_tidies_up_when_it_is_cancelled_is_cancelled(
    place: Place, begin: Callable[..., Begun]
) -> None:
    begun = begin("trap 'exit 0' TERM; {}; while :; do sleep 0.05; done")
    begun.workplace.ask_to_cancel()
    begun.attempt.result(DEADLINE)
    ended = view(place.database, begun.run)
    assert (ended.status, ended.exit_code) == ("cancelled", 0)


@pytest.mark.parametrize(("keep", "kept"), [(Keep.ALWAYS, True), (Keep.NEVER, False)])
def test_the_folder_of_a_cancelled_attempt_is_kept_as_configured(
    place: Place, begin: Callable[..., Begun], keep: Keep, *, kept: bool
) -> None:
    begun = begin("{}; exec sleep 60", keep=keep)
    begun.workplace.ask_to_cancel()
    begun.attempt.result(DEADLINE)
    assert place.folders() == ([f"{begun.run}.1"] if kept else [])


def test_who_ends_before_it_is_cancelled_has_ended(
    place: Place, begin: Callable[..., Begun], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    begun = begin("{}; while test -e '" + str(tmp_path) + "/go'; do sleep 0.02; done")
    assert orm.ask_to_cancel(place.database, begun.run) is orm.State.RUNNING
    (tmp_path / "go").unlink()
    begun.attempt.result(DEADLINE)
    ended = view(place.database, begun.run)
    assert (ended.status, ended.cancelling) == ("succeeded", False)


def test_a_stop_of_what_was_to_be_cancelled_cancels_it(
    place: Place, begin: Callable[..., Begun]
) -> None:
    begun = begin("{}; exec sleep 60")
    orm.ask_to_cancel(place.database, begun.run)
    place.runner.stop.request()
    begun.attempt.result(DEADLINE)
    ended = view(place.database, begun.run)
    assert (ended.status, ended.cancelling, ended.due) == ("cancelled", False, None)
    assert due(place.database) == []


def test_a_failure_of_what_was_to_be_cancelled_is_not_retried(
    place: Place, begin: Callable[..., Begun], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    script = "{}; while test -e '" + str(tmp_path) + "/go'; do sleep 0.02; done; exit 3"
    begun = begin(script, retry=Retry(5, delay=0.0))
    orm.ask_to_cancel(place.database, begun.run)
    (tmp_path / "go").unlink()
    begun.attempt.result(DEADLINE)
    assert view(place.database, begun.run).status == "cancelled"


def test_to_ask_for_what_is_not_there_does_no_harm(place: Place) -> None:
    workplace = Workplace.of(place.runner.directory, "nobody", 1)
    workplace.ask_to_cancel()
    assert not workplace.cancel_asked()
    assert place.folders() == []


# The lease


@pytest.mark.parametrize("successor", [False, True], ids=["expired", "another"])
def test_a_lease_that_is_lost_ends_it_and_nothing_is_recorded(
    place: Place, begin: Callable[..., Begun], *, successor: bool
) -> None:
    begun = begin("trap '' TERM; {}; while :; do sleep 0.05; done", kill_after=60.0)
    before = view(place.database, begun.run)
    lost = now()
    worker = orm.new_uuid() if successor else place.runner.lease.worker
    place.runner.lease.set(worker, now() + 600 if successor else now())
    begun.attempt.result(DEADLINE)
    assert now() - lost < 3
    run, [attempt] = orm.run(place.database, begun.run)
    assert (run, attempt.finished, attempt.error) == (before, None, None)
    assert place.output(before) == ""


def test_a_lease_that_is_lost_before_the_end_is_recorded_records_nothing(
    place: Place, begin: Callable[..., Begun]
) -> None:
    begun = begin("{}; sleep 0.3")
    change(place.database, "ALTER TABLE attempt RENAME TO elsewhere")
    _, not_done = wait([begun.attempt], timeout=1.2)
    place.runner.lease.set(place.runner.lease.worker, 0.0)
    change(place.database, "ALTER TABLE elsewhere RENAME TO attempt")
    begun.attempt.result(DEADLINE)
    assert not_done
    assert view(place.database, begun.run).status == "running"


# The database is away


def test_an_outcome_waits_for_the_database(place: Place, begin: Callable[..., Begun]) -> None:
    begun = begin("echo said; {}; echo 4 > $DISPATCHER_RESULT; sleep 0.3")
    change(place.database, "ALTER TABLE output RENAME TO elsewhere")
    _, not_done = wait([begun.attempt], timeout=1.5)
    status = view(place.database, begun.run).status
    change(place.database, "ALTER TABLE elsewhere RENAME TO output")
    begun.attempt.result(DEADLINE)
    ended = view(place.database, begun.run)
    assert (len(not_done), status) == (1, "running")
    assert (ended.status, ended.result, place.output(ended)) == ("succeeded", 4, "said\n")


def test_an_outcome_waits_for_a_server_that_is_away(
    place: Place, begin: Callable[..., Begun], postgres_url: str
) -> None:
    server = urlsplit(postgres_url)
    proxy = Proxy(server.port or 5432)
    proxy.up()
    url = server._replace(netloc=f"{server.username}@127.0.0.1:{proxy.port}").geturl()
    database = orm.Database(url)
    try:
        database.prepare(attempts=1, wait=0)
        place.database = database
        place.runner = replace(place.runner, database=database)
        begun = begin("echo said; {}; echo 4 > $DISPATCHER_RESULT; sleep 0.5")
        proxy.down()
        _, not_done = wait([begun.attempt], timeout=2)
        proxy.up()
        begun.attempt.result(DEADLINE)
        ended = view(database, begun.run)
    finally:
        proxy.down()
        database.close()
    assert not_done
    assert (ended.status, ended.result) == ("succeeded", 4)


# The disk is full


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_without_room_a_run_is_released_for_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    run = place.offer(retrying("exit 0"), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", refuse)
        place.runner.run(run)
    released, [attempt] = orm.run(place.database, run)
    assert (released.status, released.error) == ("queued", None)
    assert (attempt.error or "").startswith("there is no room for its working directory")
    assert attempt.finished is not None
    assert released.due is not None
    assert released.due == pytest.approx(attempt.finished + 30, abs=2)
    assert due(place.database) == []


def test_an_attempt_without_room_is_no_failure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    run = place.offer(retrying("exit 1", retries=1), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", refuse)
        place.runner.run(run)
    change(place.database, "UPDATE run SET due = 0")
    place.again(run)
    assert place.status(run) == "retrying"


def test_what_was_made_before_the_room_ended_is_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    run = place.offer(shell("exit 0"), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(Event, "to_json", refuse)
        place.runner.run(run)
    assert view(place.database, run).status == "queued"
    assert place.folders() == []


@pytest.mark.parametrize(("name", "result"), [("add", 9), ("mul", 24)])
def test_built_in_handlers_calculate(place: Place, name: str, result: int) -> None:
    [application] = [each for each in BUILT_IN if each.name == name]
    run = place.run(application, make_event(data=[2, 3, 4]))
    assert (run.status, run.result) == ("succeeded", result)


def test_a_callable_handler_gets_the_event(place: Place, tmp_path: Path) -> None:
    source = "def handle(event):\n    print('said')\n    return [event.id, event.data]\n"
    run = place.run(handler(tmp_path, source, "handle"), make_event(7, data={"a": 1}))
    assert (run.status, run.result, place.output(run)) == ("succeeded", ["7", {"a": 1}], "said\n")


def test_a_class_handles_the_event(place: Place, tmp_path: Path) -> None:
    source = "class Mine:\n    def handle(self, event):\n        return event.type\n"
    run = place.run(handler(tmp_path, source, "Mine"))
    assert (run.status, run.result) == ("succeeded", "org.example")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('what went wrong')", "what went wrong"),
        ("return {1, 2}", "not JSON serializable"),
        ("return float('nan')", "not JSON compliant"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_handler_that_fails_says_why(place: Place, tmp_path: Path, body: str, told: str) -> None:
    run = place.run(handler(tmp_path, f"def handle(event):\n    {body}\n", "handle"))
    assert (run.status, run.exit_code, run.result) == ("failed", 1, None)
    assert told in place.output(run, "stderr")


def test_a_handler_that_is_missing_says_so(place: Place, tmp_path: Path) -> None:
    run = place.run(handler(tmp_path, "", "handle"))
    assert run.status == "failed"
    assert "'handle'" in place.output(run, "stderr")


def test_a_file_in_the_working_directory_is_no_module(place: Place, tmp_path: Path) -> None:
    """What an application writes, or a library of the same name, never replaces a module."""
    run = place.run(
        handler(tmp_path, "import sys\ndef handle(event): return sys.path[:2]", "handle")
    )
    assert isinstance(run.result, list)
    assert "" not in run.result
    assert run.result[0] == str(tmp_path)


# What it shows


def only_attempt(place: Place, run: orm.RunView) -> orm.AttemptView:
    [attempt] = orm.run(place.database, run.uuid)[1]
    return attempt


def test_the_command_is_kept_as_it_was_executed(place: Place) -> None:
    command = Command("/bin/echo", (Argument(("a b",)), Argument((Placeholder("id"), "/x"))))
    run = place.run(Application("echo", command), make_event("7; rm -r"))
    assert only_attempt(place, run).command == ["/bin/echo", "a b", "7; rm -r/x"]


def test_the_command_of_a_handler_is_its_name(place: Place, tmp_path: Path) -> None:
    run = place.run(handler(tmp_path, "def given(event): return 1", "given"))
    assert only_attempt(place, run).command == ["given_handlers:given"]


def test_a_long_command_is_shortened(place: Place) -> None:
    arguments = (Argument(("x" * 2000,)), *[Argument(("y",))] * 200)
    run = place.run(Application("true", Command("true", arguments)))
    assert only_attempt(place, run).command == ["true", "x" * 1000 + "…", *"y" * 98, "…"]


def test_a_command_that_the_event_lacks_a_part_of_is_not_kept(place: Place) -> None:
    run = place.run(Application("echo", Command("echo", (Argument((Placeholder("gone"),)),))))
    assert (run.status, only_attempt(place, run).command) == ("failed", None)


def test_progress_and_command_are_shown_while_the_application_runs(
    place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"echo ::progress 40 half >&2; until [ -e {go} ]; do sleep 0.05; done"
    run = place.offer(shell(f"{script}; echo ::progress 90 nearly"), make_event())
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(place.runner.run, run)
        wait_until(lambda: view(place.database, run).progress == Progress(40, "half"))
        command = only_attempt(place, view(place.database, run)).command
        go.touch()
        attempt.result(DEADLINE)
    assert command is not None
    assert command[:2] == ["/bin/sh", "-c"]
    assert view(place.database, run).progress == Progress(90, "nearly")


def test_progress_of_a_handler_is_shown_while_it_runs(place: Place, tmp_path: Path) -> None:
    go = tmp_path / "go"
    source = f"""
import time
from pathlib import Path

def given(event):
    print("::progress 40 half")
    while not Path({str(go)!r}).exists():
        time.sleep(0.05)
"""
    run = place.offer(handler(tmp_path, source, "given"), make_event())
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(place.runner.run, run)
        wait_until(lambda: view(place.database, run).progress == Progress(40, "half"))
        go.touch()
        attempt.result(DEADLINE)


def test_the_last_line_is_kept(place: Place) -> None:
    run = place.run(shell("echo why >&2; echo out; exit 1"))
    assert only_attempt(place, run).last_line == "why"


def test_a_further_attempt_has_a_progress_of_its_own(place: Place) -> None:
    script = shell('[ "$DISPATCHER_ATTEMPT" = 2 ] || { echo ::progress 50; exit 1; }')
    run = place.run(replace(script, retry=Retry(retries=1, delay=0.0)))
    before = run.progress
    place.again(run.uuid)
    after, attempts = orm.run(place.database, run.uuid)
    assert (before, after.progress) == (Progress(50, ""), None)
    assert [each.progress for each in attempts] == [Progress(50, ""), None]
