"""The command line against a running dispatcher, as an operator types it."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import PROGRAM, Site, http, wait_until

CONFIG = """
[worker]
stop_grace = 1s

[application:greet]
exact.type = greet
command = sh -c 'echo "Hello, $1"; printf "\\033[31mred\\033[0m\\n" >&2' sh {data.name}

[application:break]
exact.type = break
command = sh -c 'echo "it is $(cat ../../mended 2>/dev/null || echo broken)"; test -e ../../mended'

[application:nap]
exact.type = nap
command = sh -c 'echo begun; sleep 60'
kill_after = 1s
"""


@pytest.fixture
def running(site: Site) -> Site:
    """A site that serves and works."""
    site.configure(CONFIG)
    site.start_standalone()
    return site


def typed(site: Site, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Type a command and wait for its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(site: Site, **more: str) -> dict[str, str]:
    """The environment of an operator of a site."""
    return {**os.environ, "DISPATCHER_URL": site.url, **more}


Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(site: Site) -> Iterator[Begin]:
    """Types a command that goes on for some time; it has connected."""
    begun = []

    def begin(*arguments: str) -> "subprocess.Popen[str]":
        minded = signal.signal(signal.SIGINT, signal.default_int_handler)  # or a job inherits none
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment(site),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, minded)
        begun.append(process)

        def connected() -> bool:
            assert process.poll() is None, process.communicate()
            return bool(psutil.Process(process.pid).net_connections())

        wait_until(connected, "its connection")
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def sent(site: Site, kind: str, *options: str) -> str:
    """Send an event; gives its uuid."""
    done = typed(site, "send", "--type", kind, "--source", "/tests", *options)
    assert done.stdout, done
    return done.stdout.split()[0]


def documents(done: "subprocess.CompletedProcess[str]") -> list[Any]:
    """What a command printed for programs."""
    return [json.loads(each) for each in done.stdout.splitlines()]


def test_an_event_is_sent_and_seen(running: Site, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    event = {"specversion": "1.0", "id": "7", "source": "/tests", "type": "greet"}
    file.write_text(json.dumps({**event, "data": {"name": "Grüße"}}))
    done = typed(running, "send", str(file), "--wait", "--json")
    [found] = documents(done)
    assert (done.returncode, found["status"], found["event"]["id"]) == (0, "succeeded", "7")
    again = typed(running, "send", str(file), "--json")
    assert documents(again)[0]["duplicate"] is True
    [run] = found["runs"]
    assert documents(typed(running, "events", "--json", "--status", "succeeded")) == [found]
    assert documents(typed(running, "events", "--json", "--until", "1h")) == []
    assert [each["uuid"] for each in documents(typed(running, "events", "--text", "7", "--json"))]
    [shown] = documents(typed(running, "show", found["uuid"], "--json"))
    assert shown["event"]["data"] == {"name": "Grüße"}
    assert "Grüße" in typed(running, "show", found["uuid"]).stdout
    assert run["uuid"] in typed(running, "show", run["uuid"]).stdout
    assert typed(running, "logs", run["uuid"], "--stream", "stdout").stdout == "Hello, Grüße\n"
    assert typed(running, "logs", found["uuid"]).stdout.splitlines()[-1] == "\\x1b[31mred\\x1b[0m"
    assert "greet" in typed(running, "applications").stdout


def test_the_exit_code_says_how_it_went(running: Site) -> None:
    options = ("send", "--wait", "--source", "/tests", "--type")
    assert typed(running, *options, "break").returncode == 1
    assert typed(running, *options, "unknown").returncode == 3
    refused = typed(running, *options, "")
    assert refused.returncode == 2
    assert "#/type: " in refused.stderr


def test_what_failed_is_retried_and_replayed_by_filter(running: Site) -> None:
    uuids = [sent(running, "break") for _ in range(3)]
    for each in uuids:
        assert typed(running, "status", each, "--wait").returncode == 1
    running.folder.joinpath("runs/mended").write_text("mended")
    refused = typed(running, "retry", "--status", "failed")
    assert (refused.returncode, "Retry 3 events?" in refused.stderr) == (1, True)
    assert typed(running, "retry", uuids[0]).returncode == 0
    assert typed(running, "status", uuids[0], "--wait").returncode == 0
    done = typed(running, "retry", "--status", "failed", "--yes")
    assert (done.returncode, done.stderr) == (0, "retry: 2 of 2 done\n")
    for each in uuids:
        assert typed(running, "status", each, "--wait").returncode == 0
    done = typed(running, "replay", "--application", "break", "--yes", "--json")
    assert done.returncode == 0
    assert sorted(each["uuid"] for each in documents(done)) == sorted(uuids)
    for each in uuids:
        assert typed(running, "status", each, "--wait").returncode == 0
        assert typed(running, "logs", each).stdout == "it is mended\n"


def test_what_runs_is_cancelled_and_what_is_paused_waits(running: Site) -> None:
    nap = sent(running, "nap")
    running.wait_status(nap, "running")
    assert "nap" in wait_until(lambda: _runs(running), "the nap at a worker")
    assert typed(running, "pause", "nap").returncode == 0
    other = sent(running, "nap")
    assert typed(running, "cancel", nap).returncode == 0
    assert typed(running, "status", nap, "--wait").returncode == 1
    assert running.status(other)["status"] == "queued"
    [found] = documents(typed(running, "workers", "--json"))
    assert [(each["application"], each["reason"]) for each in found["waiting"]] == [
        ("nap", "paused")
    ]
    assert typed(running, "resume", "nap").returncode == 0
    running.wait_status(other, "running")
    assert typed(running, "cancel", other, nap).returncode == 1
    running.wait_status(other, "cancelled")


def _runs(site: Site) -> list[str]:
    """The applications that run now, as workers tell."""
    [found] = documents(typed(site, "workers", "--json"))
    return [run["application"] for worker in found["workers"] for run in worker["running"]]


def test_a_wait_outlives_the_server(site: Site, begin: Begin) -> None:
    site.configure(CONFIG)
    web = site.start_web(BROKER_URL=f"filesystem://localhost{site.folder}/broker")
    uuid = sent(site, "greet", "--data", '{"name": "x"}')
    waiting = begin("status", uuid, "--wait")
    web.terminate()
    web.wait(30)
    assert waiting.stderr
    said = waiting.stderr.readline()
    assert said == f"{site.url} does not answer: Connection refused; trying again for 60 s\n"
    site.start_standalone()
    printed, more = waiting.communicate(timeout=60)
    assert (waiting.returncode, more) == (0, "")
    assert printed.startswith(f"{uuid}  succeeded\n")


@pytest.mark.parametrize("command", [["status", "--wait"], ["logs", "--follow"]], ids=" ".join)
def test_ctrl_c_ends_with_130(running: Site, begin: Begin, command: list[str]) -> None:
    uuid = sent(running, "nap")
    running.wait_status(uuid, "running")
    process = begin(*command, uuid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (130, False)


def test_a_closed_pipe_ends_it_quietly(site: Site) -> None:
    site.configure(CONFIG)
    site.start_web()
    event = {"specversion": "1.0", "source": "/tests", "type": "none"}
    batch = json.dumps([{**event, "id": str(number)} for number in range(1000)])
    assert typed(site, "send", "-", stdin=batch).returncode == 3
    command = f"{PROGRAM[0]} -m pacifica.dispatcher events --all $JSON | head -n 2"
    for option in ("", "--json"):
        done = subprocess.run(
            ["sh", "-c", command],
            env=environment(site, JSON=option),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


def test_what_an_encoding_lacks_is_escaped(site: Site) -> None:
    site.configure(CONFIG)
    site.start_web()
    sent(site, "none", "--subject", "漢ü")
    done = subprocess.run(
        [*PROGRAM, "events"],
        env=environment(site, PYTHONIOENCODING="latin-1"),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert "\\u6f22ü" in done.stdout.decode("latin-1")


@pytest.mark.parametrize(("no_color", "colours"), [("", True), ("1", False)])
def test_colours_are_for_terminals(site: Site, no_color: str, colours: bool) -> None:  # noqa: FBT001
    site.configure(CONFIG)
    site.start_web()
    http(f"{site.url}/dispatch/add/2/2")
    assert "\x1b" not in typed(site, "events").stdout
    ours, theirs = pty.openpty()
    subprocess.run(
        [*PROGRAM, "events"],
        env=environment(site, NO_COLOR=no_color, TERM="xterm"),
        stdout=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    printed = os.read(ours, 65536)
    os.close(ours)
    assert b"queued" in printed
    assert (b"\x1b[36mqueued" in printed) == colours


def test_raw_output_is_not_for_a_terminal(site: Site) -> None:
    ours, theirs = pty.openpty()
    uuid = "01a209a6-de7a-713c-b057-217dea95c68a"
    done = subprocess.run(
        [*PROGRAM, "logs", uuid, "--raw"],
        env=environment(site),
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"--raw is for files and pipes" in done.stderr
