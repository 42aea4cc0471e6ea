"""The event, environment, arguments and working directory of an application."""

import json
import os
import sys

import pytest

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications.command_template import Argument, Placeholder
from pacifica.dispatcher.execution.process import origin
from tests.factories import make_event
from tests.unit.worker.factories import Driver, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_event_comes_on_stdin_and_in_a_file(driver: Driver) -> None:
    event = make_event(data={"path": "/a", "bytes": [1, None, True, 1.5, "\u00e4\ud800"]})
    report = driver.report(event)
    assert report.event == json.loads(report.stdin) == event.structured()


def test_an_event_of_version_01_is_converted_to_1_0(driver: Driver) -> None:
    sent = {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"}
    report = driver.report(events.parse_event(json.dumps(sent)))
    assert report.event == {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def test_attributes_become_variables(driver: Driver) -> None:
    report = driver.report(make_event(7, subject="a=b c\u00e4", flag=True, number=-5))
    assert {name: text for name, text in report.environment.items() if name[:3] == "CE_"} == {
        "CE_SPECVERSION": "1.0",
        "CE_ID": "7",
        "CE_SOURCE": "/tests",
        "CE_TYPE": "org.example",
        "CE_SUBJECT": "a=b c\u00e4",
        "CE_FLAG": "true",
        "CE_NUMBER": "-5",
    }


def test_trace_and_correlation_attributes_become_variables(driver: Driver) -> None:
    report = driver.report(
        make_event(traceparent=TRACE, tracestate="a=b,c=d", correlationid="1", causationid="2")
    )
    names = ("TRACEPARENT", "TRACESTATE", "CE_TRACEPARENT", "CE_CORRELATIONID", "CE_CAUSATIONID")
    assert [report.environment[name] for name in names] == [TRACE, "a=b,c=d", TRACE, "1", "2"]


def test_the_configured_trace_has_precedence(driver: Driver) -> None:
    report = driver.report(make_event(traceparent=TRACE), TRACEPARENT="configured")
    assert report.environment["TRACEPARENT"] == "configured"


def test_variables_identify_the_run(driver: Driver) -> None:
    report = driver.report(make_event())
    [run] = orm.search(driver.database, orm.EventFilter(), 1).events[0].runs
    folder = driver.runner.directory / f"{run.uuid}.1"
    named = {name: text for name, text in report.environment.items() if name[:11] == "DISPATCHER_"}
    assert named == {
        "DISPATCHER_EVENT": str(folder / "event.json"),
        "DISPATCHER_RESULT": str(folder / "result.json"),
        "DISPATCHER_RUN": run.uuid,
        "DISPATCHER_ATTEMPT": "1",
        "DISPATCHER_APPLICATION": "report",
        "DISPATCHER_WORKER": driver.runner.lease.worker,
        "DISPATCHER_ORIGIN": str(origin()),
    }


def test_the_configured_environment_is_added(driver: Driver) -> None:
    report = driver.report(make_event(), COLOR="blue", PATH="/configured")
    assert (report.environment["COLOR"], report.environment["PATH"]) == ("blue", "/configured")


def test_the_rest_of_the_environment_is_inherited(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_SETTING", "yes")
    assert driver.report(make_event()).environment["WORKER_SETTING"] == "yes"


@pytest.mark.parametrize(
    "name",
    [
        *("BROKER_URL", "PEEWEE_URL", "DISPATCHER_CONFIG", "DISPATCHER_LIFELINE", "CE_OLD"),
        *("TRACEPARENT", "TRACESTATE"),
    ],
)
def test_variables_of_the_dispatcher_are_not_inherited(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "secret")
    assert name not in driver.report(make_event()).environment


def test_an_event_cannot_replace_the_configured_environment(driver: Driver) -> None:
    report = driver.report(make_event(path="/evil", ldpreload="/evil"))
    assert report.environment["PATH"] == os.environ["PATH"]


def test_the_working_directory_is_fresh_empty_and_private(driver: Driver) -> None:
    one, two = driver.report(make_event(1)), driver.report(make_event(2))
    assert one.directory != two.directory
    assert (one.files, two.files, one.mode) == ([], [], 0o700)


def test_placeholders_are_filled(driver: Driver) -> None:
    path, number = Argument((Placeholder("data.path"),)), Argument(("n=", Placeholder("id")))
    report = driver.report(make_event(7, data={"path": "/a; rm $HOME"}), path, number)
    assert report.arguments == ["/a; rm $HOME", "n=7"]


def test_large_data_is_supported(driver: Driver) -> None:
    run = driver.run(shell('wc -c < "$DISPATCHER_EVENT"'), make_event(data="x" * 8 * 1024**2))
    assert run.status == "succeeded"
    assert int(driver.output(run)) > 8 * 1024**2
