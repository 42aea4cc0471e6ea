"""The command line against a running dispatcher."""

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

from harness import DEADLINE, PROGRAM, Proxy, Site, http, wait_until

CONFIG = """
[worker]
stop_grace = 1s

[application:greet]
exact.type = greet
command = sh -c 'echo "Hello, $1"; printf "\\033[31mred\\033[0m\\n" >&2' sh {data.name}

[application:break]
exact.type = break
command = sh -c 'echo "it is $(cat ../../fixed 2>/dev/null || echo broken)"; test -e ../../fixed'

[application:talk]
exact.type = talk
command = sh -c 'printf "one "; sleep 1.5; echo two; printf three; sleep 1.5; echo'

[application:nap]
exact.type = nap
command = sh -c 'echo started; sleep 60'
kill_after = 1s
"""


@pytest.fixture
def running(site: Site) -> Site:
    """Start a server and a worker."""
    site.configure(CONFIG)
    site.start_standalone()
    return site


def call(site: Site, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command until it exits."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def environment(site: Site, **more: str) -> dict[str, str]:
    """Return the environment of an operator, with the site's URL."""
    return {**os.environ, "DISPATCHER_URL": site.url, **more}


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_command(site: Site) -> Iterator[Start]:
    """Start a long-running command, and wait until it has connected."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        # A background job ignores SIGINT, and its children inherit that.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment(site),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, previous)
        started.append(process)

        def connected() -> bool:
            assert process.poll() is None, process.communicate()
            return bool(psutil.Process(process.pid).net_connections())

        wait_until(connected, "its connection")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def send_event(site: Site, kind: str, *options: str) -> str:
    """Send an event and return its uuid."""
    done = call(site, "send", "--type", kind, "--source", "/tests", *options)
    assert done.stdout, done
    return done.stdout.split()[0]


def documents(done: "subprocess.CompletedProcess[str]") -> list[Any]:
    """Return the JSON documents that a command printed."""
    return [json.loads(each) for each in done.stdout.splitlines()]


def test_an_event_is_sent_and_shown(running: Site, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    event = {"specversion": "1.0", "id": "7", "source": "/tests", "type": "greet"}
    file.write_text(json.dumps({**event, "data": {"name": "Grüße"}}))
    done = call(running, "send", str(file), "--wait", "--json")
    [found] = documents(done)
    assert (done.returncode, found["status"], found["event"]["id"]) == (0, "succeeded", "7")
    again = call(running, "send", str(file), "--json")
    assert documents(again)[0]["duplicate"] is True
    [run] = found["runs"]
    assert documents(call(running, "events", "--json", "--status", "succeeded")) == [found]
    assert documents(call(running, "events", "--json", "--until", "1h")) == []
    assert [each["uuid"] for each in documents(call(running, "events", "--text", "7", "--json"))]
    [shown] = documents(call(running, "show", found["uuid"], "--json"))
    assert shown["event"]["data"] == {"name": "Grüße"}
    assert "Grüße" in call(running, "show", found["uuid"]).stdout
    assert run["uuid"] in call(running, "show", run["uuid"]).stdout
    assert call(running, "logs", run["uuid"], "--stream", "stdout").stdout == "Hello, Grüße\n"
    assert call(running, "logs", found["uuid"]).stdout.splitlines()[-1] == "\\x1b[31mred\\x1b[0m"
    assert "greet" in call(running, "applications").stdout


def test_the_exit_code_reflects_the_runs(running: Site) -> None:
    options = ("send", "--wait", "--source", "/tests", "--type")
    assert call(running, *options, "break").returncode == 1
    assert call(running, *options, "unknown").returncode == 3
    refused = call(running, *options, "")
    assert refused.returncode == 2
    assert "#/type: " in refused.stderr


def test_failed_events_are_retried_and_replayed_by_filter(running: Site) -> None:
    uuids = [send_event(running, "break") for _ in range(3)]
    for each in uuids:
        assert call(running, "status", each, "--wait").returncode == 1
    running.folder.joinpath("runs/fixed").write_text("fixed")
    refused = call(running, "retry", "--status", "failed")
    assert (refused.returncode, "Retry 3 events?" in refused.stderr) == (1, True)
    assert call(running, "retry", uuids[0]).returncode == 0
    assert call(running, "status", uuids[0], "--wait").returncode == 0
    done = call(running, "retry", "--status", "failed", "--yes")
    assert (done.returncode, done.stderr) == (0, "retry: 2 of 2 done (runs: break 2)\n")
    for each in uuids:
        assert call(running, "status", each, "--wait").returncode == 0
    done = call(running, "replay", "--application", "break", "--yes", "--json")
    assert done.returncode == 0
    assert sorted(each["uuid"] for each in documents(done)) == sorted(uuids)
    for each in uuids:
        assert call(running, "status", each, "--wait").returncode == 0
        assert call(running, "logs", each).stdout == "it is fixed\n"


def test_a_running_run_is_cancelled_and_a_paused_one_waits(running: Site) -> None:
    nap = send_event(running, "nap")
    running.wait_status(nap, "running")
    assert "nap" in wait_until(lambda: _runs(running), "a running nap")
    assert call(running, "pause", "nap").returncode == 0
    other = send_event(running, "nap")
    assert call(running, "cancel", nap).returncode == 0
    assert call(running, "status", nap, "--wait").returncode == 1
    assert running.status(other)["status"] == "queued"
    [found] = documents(call(running, "workers", "--json"))
    assert [(each["application"], each["reason"]) for each in found["waiting"]] == [
        ("nap", "paused")
    ]
    assert call(running, "resume", "nap").returncode == 0
    running.wait_status(other, "running")
    assert call(running, "cancel", other, nap).returncode == 1
    running.wait_status(other, "cancelled")


def _runs(site: Site) -> list[str]:
    """Return the applications of the running attempts."""
    [found] = documents(call(site, "workers", "--json"))
    return [run["application"] for worker in found["workers"] for run in worker["running"]]


def test_a_wait_survives_a_restart_of_the_server(site: Site, start_command: Start) -> None:
    site.configure(CONFIG)
    web = site.start_web(BROKER_URL=f"filesystem://localhost{site.folder}/broker")
    uuid = send_event(site, "greet", "--data", '{"name": "x"}')
    waiting = start_command("status", uuid, "--wait")
    web.terminate()
    web.wait(DEADLINE)
    assert waiting.stderr
    message = waiting.stderr.readline()
    assert message == f"{site.url} does not respond: Connection refused; retrying for 60 s\n"
    site.start_standalone()
    stdout, stderr = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, stderr) == (0, "")
    assert stdout.startswith(f"{uuid}  succeeded\n")


@pytest.mark.parametrize("command", [["status", "--wait"], ["logs", "--follow"]], ids=" ".join)
def test_ctrl_c_exits_with_130(running: Site, start_command: Start, command: list[str]) -> None:
    uuid = send_event(running, "nap")
    running.wait_status(uuid, "running")
    process = start_command(*command, uuid)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE)
    assert (process.returncode, "Traceback" in stderr) == (130, False)


def test_a_closed_pipe_ends_a_command_quietly(site: Site) -> None:
    site.configure(CONFIG)
    site.start_web()
    event = {"specversion": "1.0", "source": "/tests", "type": "none"}
    batch = json.dumps([{**event, "id": str(number)} for number in range(1000)])
    assert call(site, "send", "-", stdin=batch).returncode == 3
    command = f"{PROGRAM[0]} -m pacifica.dispatcher events --all $JSON | head -n 2"
    for option in ("", "--json"):
        done = subprocess.run(
            ["sh", "-c", command],
            env=environment(site, JSON=option),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


def test_characters_missing_in_an_encoding_are_escaped(site: Site) -> None:
    site.configure(CONFIG)
    site.start_web()
    send_event(site, "none", "--subject", "漢ü")
    done = subprocess.run(
        [*PROGRAM, "events"],
        env=environment(site, PYTHONIOENCODING="latin-1"),
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    assert "\\u6f22ü" in done.stdout.decode("latin-1")


@pytest.mark.parametrize(("no_color", "colours"), [("", True), ("1", False)])
def test_only_terminals_get_colours(site: Site, no_color: str, colours: bool) -> None:  # noqa: FBT001
    site.configure(CONFIG)
    site.start_web()
    http(f"{site.url}/dispatch/add/2/2")
    assert "\x1b" not in call(site, "events").stdout
    terminal, child = pty.openpty()
    subprocess.run(
        [*PROGRAM, "events"],
        env=environment(site, NO_COLOR=no_color, TERM="xterm"),
        stdout=child,
        timeout=DEADLINE,
        check=True,
    )
    os.close(child)
    printed = os.read(terminal, 65536)
    os.close(terminal)
    assert b"queued" in printed
    assert (b"\x1b[36mqueued" in printed) == colours


def test_raw_output_is_refused_on_a_terminal(site: Site) -> None:
    terminal, child = pty.openpty()
    uuid = "01a209a6-de7a-713c-b057-217dea95c68a"
    done = subprocess.run(
        [*PROGRAM, "logs", uuid, "--raw"],
        env=environment(site),
        stdout=child,
        stderr=subprocess.PIPE,
        timeout=DEADLINE,
        check=False,
    )
    os.close(child)
    os.close(terminal)
    assert done.returncode == 2
    assert b"--raw is for files and pipes" in done.stderr


@pytest.fixture
def impatient(running: Site) -> Iterator[Site]:
    """A server behind a proxy that cuts a response after half a second of silence."""
    proxy = Proxy(running.port, silence=0.5)
    proxy.up()
    yield Site(running.folder, proxy.port)
    proxy.down()


def test_output_is_followed_through_an_impatient_proxy(running: Site, impatient: Site) -> None:
    uuid = running.post(type="talk").json["uuid"]
    running.wait_status(uuid, "running")
    followed = call(impatient, "logs", uuid, "--follow")
    assert (followed.returncode, followed.stdout) == (0, "one two\nthree\n")
    assert followed.stderr.count("retrying for 60 s") == 1
    assert len(followed.stderr.splitlines()) == 1


def test_the_end_is_awaited_through_an_impatient_proxy(running: Site, impatient: Site) -> None:
    uuid = running.post(type="talk").json["uuid"]
    waited = call(impatient, "status", uuid, "--wait")
    assert waited.returncode == 0
    assert "succeeded" in waited.stdout
    assert len(waited.stderr.splitlines()) == 1
