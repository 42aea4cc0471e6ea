"""Pages of the WSGI application: content, permission to act, live updates."""

import html
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness import wait_until
from pacifica.dispatcher import events, orm, rest
from pacifica.dispatcher.errors import TooManyStreamsError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.orm.search import uuid_at
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest.live import MAX_ADDRESSES, LivePages, Viewer
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.stream_slots import Slot
from tests.factories import (
    accept_runs,
    app,
    change,
    claim_next,
    claimant,
    claimed_run,
    due,
    make_event,
    published_run,
    stored,
    view,
)
from tests.unit.rest.factories import MATCHED, UNKNOWN, Client, Response, act

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""The Accept header of a browser."""

FORM = "application/x-www-form-urlencoded"
EVIL = "<script>alert(1)</script>"


def page(client: Client, target: str, status: int = 200) -> str:
    """Return a page as a browser gets it."""
    response = client.get(target, accept=HTML)
    assert (response.status, response.headers["content-type"]) == (
        status,
        "text/html;charset=utf-8",
    )
    return response.body.decode()


def rows(text: str) -> list[str]:
    """Return the uuids of the events on a page."""
    return re.findall(r'id="event-([^"]+)"', text)


@pytest.mark.parametrize("target", ["/", "/events", "/applications", "/workers"])
@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/json, text/html;q=0.9", "xtext/html, text/plainer"],
)
def test_a_client_that_does_not_prefer_html_gets_json(
    client: Client, target: str, accept: str
) -> None:
    response = client.get(target, accept=accept)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/", "/events", "/applications", "/workers", "/?state=failed"])
def test_a_page_loads_nothing_from_other_sites(client: Client, target: str) -> None:
    headers = client.get(target, accept=HTML).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert (headers["x-content-type-options"], headers["vary"]) == ("nosniff", "Accept")
    for address in re.findall(r'(?:src|href)="([^"]*)"', page(client, target)):
        assert address.startswith(("/", "#", "data:,"))


def test_the_files_that_a_page_loads_exist(client: Client) -> None:
    addresses = re.findall(r'"(/static/[^"]+)"', page(client, "/"))
    kinds = {client.get(address).headers["content-type"] for address in addresses}
    assert kinds == {"text/css;charset=utf-8", "text/javascript;charset=utf-8"}


@pytest.mark.parametrize(
    "name", ["", "nothing.css", "page.css/more", "../render.py", "%2e%2e/words.py"]
)
def test_other_files_are_not_found(client: Client, name: str) -> None:
    client.get(f"/static/{name}").problem(404)


def test_an_empty_page_shows_an_example(client: Client) -> None:
    assert "curl http://127.0.0.1:80/dispatch/add/2/2" in page(client, "/").replace(
        "http://127.0.0.1/", "http://127.0.0.1:80/"
    )


def test_the_filters_of_a_page_are_those_of_the_json(
    client: Client, database: orm.Database
) -> None:
    one = stored(database, 1, "one", subject="wanted")
    other = stored(database, 2, type="other")
    assert rows(page(client, "/")) == [other, one]
    assert rows(page(client, "/?text=wanted&state=&type=")) == [one]
    assert rows(page(client, "/?state=unmatched")) == [other]
    assert rows(page(client, "/?application=nobody")) == []
    assert "Invalid limit" in page(client, "/?limit=x", 400)


def test_pages_of_events_link_to_the_next(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number) for number in range(5)]
    first = page(client, "/?limit=3")
    [following] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = page(client, following.replace("&amp;", "&"))
    assert rows(first) + rows(second) == uuids[::-1]
    assert 'rel="next"' not in second


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("", "Select all 3 events"),
        ("?type=org.example", "Select all 2 matching events"),
        ("?type=other", "Select all matching events"),
        ("?type=org.example&limit=1", "Select all matching events"),
    ],
)
def test_select_all_shows_the_number_if_all_are_shown(
    client: Client, database: orm.Database, query: str, label: str
) -> None:
    for number, kind in enumerate(("org.example", "org.example", "other")):
        stored(database, number, type=kind)
    assert label in page(client, f"/{query}")


def test_an_event_is_escaped_everywhere(client: Client, database: orm.Database) -> None:
    uuid = stored(
        database, EVIL, "hello", type=EVIL, source="/" + "x" * 10, subject=EVIL, data=EVIL
    )
    [run] = orm.event(database, uuid).runs
    claim = claim_next(database)
    orm.finish(database, claim, orm.State.FAILED, orm.Outcome(exit_code=1, error=EVIL), [])
    for target in ("/", f"/events/{uuid}", f"/runs/{run.uuid}", "/applications", "/workers"):
        text = page(client, target)
        assert EVIL not in text
        assert text.count("<script") == 1


def test_an_event_shows_why_it_matched(client: Client) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    text = page(client, f"/events/{uuid}")
    assert f'found <code>"{MATCHED}"</code>' in text
    assert "runs only by GET /dispatch" in text


def test_pages_show_events_that_were_received_again(client: Client, database: orm.Database) -> None:
    uuid = client.send(data=1).json["uuid"]
    assert not any("other content" in page(client, each) for each in ("/", f"/events/{uuid}"))
    client.send(data=2)
    assert "1 event received again" in page(client, "/")
    assert f"/events/{uuid}#differing" in page(client, "/")
    change(database, "UPDATE duplicate SET latest = latest - 86400")
    assert "other content" not in page(client, "/")
    assert "1 time." in page(client, f"/events/{uuid}")
    for number in range(2, 14):
        client.send(data=number, subject="s")
    shown = page(client, f"/events/{uuid}")
    assert "13 times; the latest 10 are listed." in shown
    assert shown.count("<td>attributes and data</td>") == 10


def test_a_waiting_run_has_no_attempt(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    assert "No attempt has started yet" in page(client, f"/runs/{run}")


@pytest.mark.parametrize(
    ("target", "status"),
    [(f"/events/{UNKNOWN}", 404), (f"/runs/{UNKNOWN}", 404), ("/events/x", 422), ("/?x=1", 400)],
)
def test_a_problem_is_a_page(client: Client, target: str, status: int) -> None:
    assert 'class="reason"' in page(client, target, status)


def test_a_form_redirects_to_its_page(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    response = act(client, f"/runs/{run}/cancel", accept=HTML, sec_fetch_site="same-origin")
    assert (response.status, response.headers["location"]) == (303, f"/runs/{run}")
    assert view(database, run).status == "cancelled"
    again = act(client, f"/runs/{run}/cancel", accept=HTML, sec_fetch_site="same-origin")
    assert (again.status, b" is cancelled" in again.body) == (409, True)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "?"])
@pytest.mark.parametrize("accept", [HTML, "application/json"])
def test_a_page_of_another_site_may_not_act(
    client: Client, database: orm.Database, site: str, accept: str
) -> None:
    run = published_run(database)
    event = view(database, run).event
    for target in (f"/runs/{run}/cancel", f"/events/{event}/cancel", "/applications/hello/pause"):
        assert act(client, target, accept=accept, sec_fetch_site=site).status == 403
    assert (view(database, run).status, orm.paused(database)) == ("queued", {})


def test_an_application_is_paused_on_its_page(client: Client, database: orm.Database) -> None:
    response = act(client, "/applications/hello/pause", accept=HTML)
    assert (response.status, response.headers["location"]) == (303, "/applications")
    assert "/applications/hello/resume" in page(client, "/applications")
    assert list(orm.paused(database)) == ["hello"]


def together(client: Client, action: str, *uuids: str, **headers: str) -> Response:
    """Submit the confirmation of a bulk action."""
    body = "&".join([f"action={action}", *(f"event={uuid}" for uuid in uuids)]).encode()
    return client.post(body, "/together", content_type=FORM, **headers)


def test_a_confirmation_shows_the_number(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number, type="a") for number in range(3)]
    stored(database, 3, type="b")
    selected = "&".join(f"event={uuid}" for uuid in uuids[:2])
    assert "Replay 2 events?" in page(client, f"/together?action=replay&{selected}")
    assert "Replay 1 event?" in page(client, f"/together?action=replay&event={uuids[0]}")
    confirmation = page(client, "/together?action=replay&all=yes&type=a&text=")
    assert "Replay 3 events?" in confirmation
    assert re.findall(r'name="event" value="([^"]+)"', confirmation) == uuids[::-1]
    assert "No events selected" in page(client, "/together?action=cancel")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("action=drop", 400),
        ("action=replay&action=retry", 400),
        ("action=replay&event=x", 422),
        ("action=replay&all=yes&nothing=1", 400),
        ("action=replay" + f"&event={UNKNOWN}" * 501, 400),
    ],
)
def test_an_invalid_bulk_action_is_refused(client: Client, query: str, status: int) -> None:
    page(client, f"/together?{query}", status)


def test_a_bulk_action_continues_after_a_refusal(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number, "hello") for number in range(2)]
    done = together(client, "cancel", *uuids, UNKNOWN, sec_fetch_site="same-origin")
    text = done.body.decode()
    assert done.status == 200
    assert "Cancelled 2 events" in text
    assert f'href="/events/{UNKNOWN}"' in text
    assert {orm.event(database, uuid).status for uuid in uuids} == {"cancelled"}
    assert "Retried 2 events" in together(client, "retry", *uuids).body.decode()
    assert {orm.event(database, uuid).status for uuid in uuids} == {"queued"}


def states(database: orm.Database, uuid: str) -> dict[str, str]:
    """Return the state of each live run of an event by its application."""
    runs = orm.event(database, uuid).runs
    return {each.application: each.status for each in runs if not each.superseded}


@pytest.mark.parametrize("selection", ["application=hello", "application=hello&state=cancelled"])
@pytest.mark.parametrize("chosen", ["all=yes", "event={event}"])
def test_a_bulk_action_is_restricted_to_the_runs_that_match(
    client: Client, database: orm.Database, selection: str, chosen: str
) -> None:
    uuid = stored(database, 1, "hello", "other")
    together(client, "cancel", uuid)
    chosen = chosen.format(event=uuid)
    confirmation = page(client, f"/together?action=retry&{chosen}&{selection}")
    assert "Only runs of application hello" in confirmation
    fields = re.findall(r'name="(\w+)" value="([^"]+)"', confirmation)
    body = urllib.parse.urlencode(fields).encode()
    done = client.post(body, "/together", content_type=FORM).body.decode()
    assert "Retried 1 event" in done
    assert "Runs by application: hello 1<" in done
    assert states(database, uuid) == {"hello": "queued", "other": "cancelled"}


def test_a_form_of_another_site_is_refused(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1, "hello")
    assert together(client, "cancel", uuid, sec_fetch_site="cross-site").status == 403
    assert orm.event(database, uuid).status == "queued"


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"event=1", b"a=1&" * 600, b"action=replay&event=x"]
)
def test_an_invalid_form_is_refused(client: Client, body: bytes) -> None:
    assert client.post(body, "/together", content_type=FORM).status in {400, 422}


def test_a_large_bulk_action_continues_with_the_next_events(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.forms._MAX_AT_ONCE", 2)
    uuids = [stored(database, number) for number in range(3)]
    first = page(client, "/together?action=replay&all=yes")
    [more] = re.findall(r'name="more" value="([^"]+)"', first)
    second = page(client, more.replace("&amp;", "&"))
    offered = [re.findall(r'name="event" value="([^"]+)"', text) for text in (first, second)]
    assert offered == [uuids[:0:-1], uuids[:1]]


def test_a_bulk_action_continues_an_unfinished_search(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.forms._SEARCH_LIMIT", 0.0)
    wanted = stored(database, 1, subject="wanted")
    stored(database, 2)
    moved = f"{uuid_at(time.time() - 1e6)[:14]}{wanted[14:]}"
    change(database, "UPDATE event SET uuid = ? WHERE uuid = ?", (moved, wanted))
    first = page(client, "/together?action=replay&all=yes&text=wanted")
    assert "None found so far" in first
    [more] = re.findall(r'href="(/together[^"]+)"', first)
    second = page(client, html.unescape(more))
    assert re.findall(r'name="event" value="([^"]+)"', second) == [moved]


def test_similar_failures_are_grouped(client: Client, database: orm.Database) -> None:
    for number in range(3):
        accept_runs(database, app("hello"), number)
        due(database)
        run = orm.search(database, orm.EventFilter(), 1).events[0].runs[0].uuid
        claim = orm.claim(database, run, claimant())
        assert claim is not None
        orm.finish(database, claim, orm.State.FAILED, orm.Outcome(exit_code=3), [])
        last = f"file {number} is broken"
        change(database, "UPDATE attempt SET last_line = ? WHERE run = ?", (last, run))
    [group] = orm.failure_groups(database)
    assert (group.application, group.how, group.last_line, len(group.runs), group.runs[0]) == (
        *("hello", "exit code 3", "file # is broken", 3, run),
    )
    assert "file # is broken" in page(client, "/applications")
    confirmation = page(client, f"/together?group={group.group}")
    assert "Retry 3 runs?" in confirmation
    runs = re.findall(r'name="run" value="([^"]+)"', confirmation)
    assert runs == list(group.runs)
    body = "&".join(["action=retry", *(f"run={each}" for each in [*runs, UNKNOWN])]).encode()
    done = client.post(body, "/together", content_type=FORM).body.decode()
    assert "Retried 3 runs" in done
    assert f'href="/runs/{UNKNOWN}"' in done
    assert {view(database, each).status for each in runs} == {"queued"}
    assert "No run has failed" in page(client, "/applications")
    page(client, f"/together?group={group.group}", 404)


def test_the_only_bulk_action_on_runs_is_retry(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    body = f"action=cancel&run={run}".encode()
    assert client.post(body, "/together", content_type=FORM, accept=HTML).status == 400
    assert view(database, run).status == "queued"


def send_copy(client: Client, uuid: str, text: str, **headers: str) -> Response:
    """Submit the edited copy of an event."""
    body = urllib.parse.urlencode({"sent": text}).encode()
    return client.post(body, f"/edit?event={uuid}", content_type=FORM, accept=HTML, **headers)


def offered_copy(client: Client, uuid: str) -> dict[str, Json]:
    """Return the copy of an event that is offered for editing."""
    [text] = re.findall(
        r"<textarea[^>]*>\n(.*?)</textarea>", page(client, f"/edit?event={uuid}"), re.DOTALL
    )
    found: dict[str, Json] = json.loads(html.unescape(text))
    return found


def test_an_edited_copy_of_an_event_is_sent(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1, subject="</textarea>", data="ä")
    offered = offered_copy(client, uuid)
    assert offered.pop("id") not in {"1", offered_copy(client, uuid)["id"]}
    was = {"specversion": "1.0", "source": "/tests", "type": "org.example"}
    assert offered == {**was, "subject": "</textarea>", "data": "ä"}
    response = send_copy(client, uuid, json.dumps({**offered, "id": "2", "type": MATCHED}))
    assert response.status == 303
    new = orm.event(database, response.headers["location"].removeprefix("/events/"))
    assert (events.parse_event(new.sent).id, [run.application for run in new.runs]) == (
        "2",
        ["hello"],
    )


def test_a_copy_of_an_event_in_version_0_1_is_in_version_1_0(client: Client) -> None:
    old = {"cloudEventsVersion": "0.1", "eventID": "x", "eventType": "t", "source": "/s"}
    uuid = client.post(json.dumps(old).encode()).json["uuid"]
    was = {"specversion": "1.0", "source": "/s", "type": "t"}
    assert {**offered_copy(client, uuid), "id": ""} == {**was, "id": ""}


@pytest.mark.parametrize(
    ("text", "status", "problem"),
    [
        ("{", 400, "JSON"),
        ('{"specversion": "1.0", "id": "", "source": "/s", "type": "<t>"}', 400, "/id"),
        ('{"specversion": "1.0", "id": "1", "source": "/tests", "type": "t"}', 409, "another id"),
    ],
)
def test_an_invalid_copy_is_shown_with_its_problems(
    client: Client, database: orm.Database, text: str, status: int, problem: str
) -> None:
    uuid = stored(database, 1)
    response = send_copy(client, uuid, text)
    shown = response.body.decode()
    assert response.status == status
    [problems] = re.findall(r'<ul class="reason">(.*?)</ul>', shown, re.DOTALL)
    assert problem in problems
    assert html.escape(text, quote=False) in shown.replace("&#34;", '"')


def test_a_copy_that_is_too_large_is_refused(context: rest.Context, database: orm.Database) -> None:
    client = Client(replace(context, max_event_size=200))
    uuid = stored(database, 1)
    assert send_copy(client, uuid, "ä" * 101).status == 413
    assert send_copy(client, uuid, " " * 500).status == 413
    assert send_copy(client, uuid, "x" * 601).status == 413


@pytest.mark.parametrize(
    ("query", "status"), [("", 422), ("event=x", 422), (f"event={UNKNOWN}", 404), ("more=1", 400)]
)
def test_an_unknown_event_has_no_copy(client: Client, query: str, status: int) -> None:
    page(client, f"/edit?{query}", status)
    response = client.post(b"", f"/edit?{query}", content_type=FORM, accept=HTML)
    assert response.status == status


def test_a_copy_from_another_site_is_refused(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1)
    assert send_copy(client, uuid, "{}", sec_fetch_site="cross-site").status == 403


def test_a_copy_of_a_manual_dispatch_runs_its_application(
    client: Client, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/2").text.strip()
    response = send_copy(client, uuid, json.dumps({**offered_copy(client, uuid), "data": [3, 4]}))
    new = orm.event(database, response.headers["location"].removeprefix("/events/"))
    assert [run.application for run in new.runs] == ["add"]


def test_the_output_of_one_stream_is_shown(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    written = [Piece("stdout", 0, 1.0, b"\x1b[1mout\n"), Piece("stderr", 0, 2.0, b"<err>\n")]
    assert orm.save_output(database, claim, written, orm.Outcome())
    out, err = '<span class="bold">out\n</span>', '<span class="stderr">&lt;err&gt;\n</span>'
    for query, shown in (("", out + err), ("?stream=stdout", out), ("?stream=stderr", err)):
        text = page(client, f"/runs/{claim.run}{query}")
        [output] = re.findall(r'<pre id="output"[^>]*>(.*?)</pre>', text, re.DOTALL)
        assert output == shown
    page(client, f"/runs/{claim.run}?stream=x", 400)


def test_only_the_end_of_a_long_output_is_shown(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.page.render.MAX_OUTPUT", 5)
    claim = claimed_run(database)
    written = [Piece("stdout", 0, 1.0, b"out"), Piece("stderr", 0, 2.0, b"err")]
    assert orm.save_output(database, claim, written, orm.Outcome())
    text = page(client, f"/runs/{claim.run}")
    assert 'wrap" tabindex="0"' in text
    assert '>ut<span class="stderr">err</span></pre>' in text
    assert "Only the end is shown" in text


def test_a_run_shows_a_timeline(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.postpone(
        database, claim, orm.State.RETRYING, orm.Outcome(error="it broke"), [], due=time.time() + 90
    )
    change(database, "UPDATE run SET queued = 1000")
    change(database, "UPDATE attempt SET started = 1002, finished = 1012")
    lines = timeline(page(client, f"/runs/{claim.run}"))
    assert lines[0].startswith("queued")
    assert re.fullmatch("attempt 1 started .* ago, after waiting 2.0 s", lines[1])
    assert lines[2] == "attempt 1 failed after 10 s: it broke"
    assert re.fullmatch("waiting, due in .*: see why", lines[3])


def test_a_run_shows_why_its_attempts_were_interrupted(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    assert "<dt>losses</dt>" not in page(client, f"/runs/{claim.run}")
    [held] = orm.attempts_of(database, "worker")
    orm.lose(database, held, "the worker died or lost its lease")
    claim_next(database)
    [held] = orm.attempts_of(database, "worker")
    orm.crash(database, held, "the worker process died", 3)
    text = page(client, f"/runs/{claim.run}")
    assert "<dt>losses</dt><dd>1, through no fault of the application</dd>" in text
    assert "<dt>crashes</dt><dd>1</dd>" in text
    assert timeline(text)[2].endswith(": the worker died or lost its lease")
    assert timeline(text)[4].endswith(": the worker process died")


def test_a_success_that_was_stored_in_a_reduced_form_did_not_fail(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    reduced = orm.Outcome(exit_code=0, error="the database refused the output")
    orm.finish(database, claim, orm.State.SUCCEEDED, reduced, [])
    ended = timeline(page(client, f"/runs/{claim.run}"))[2]
    assert re.fullmatch("attempt 1 ended after .*: the database refused the output", ended)


def timeline(text: str) -> list[str]:
    """Return the lines of a run's timeline without markup."""
    [found] = re.findall(r'<ol class="timeline">(.*?)</ol>', text, re.DOTALL)
    bare = [re.sub(r"<[^>]*>", "", each) for each in found.split("</li>")]
    return [" ".join(each.split()) for each in bare if each.strip()]


def test_a_browser_without_a_slot_gets_changes_and_reconnects(context: rest.Context) -> None:
    first = live(context, "/")
    assert first.headers["content-type"] == "text/event-stream;charset=utf-8"
    [tag] = re.findall(r"^id: (.*)$", first.body.decode(), re.MULTILINE)
    assert live(context, "/", last_event_id=tag).body == b"retry: 3000\n\n"
    [content] = re.findall(r"^data: (.*)$", first.body.decode(), re.MULTILINE)
    assert "No events yet" in json.loads(content)


def live(context: rest.Context, target: str, **headers: str) -> Response:
    """Request server-sent events from a server without slots."""
    full = Client(replace(context, slots=rest.StreamSlots(0)))
    return full.get(target, accept="text/event-stream", **headers)


class LimitedSlot(Slot):
    """A slot that ends after a number of waits."""

    def __init__(self, times: int) -> None:
        """Set the number of waits."""
        self._left = times

    def wait(self, seconds: float) -> bool:
        """Count down."""
        assert seconds == 0.0
        self._left -= 1
        return self._left > 0


def contents(stream: Iterator[bytes]) -> list[str]:
    """Return the contents in a stream."""
    text = b"".join(stream).decode()
    return [json.loads(data) for data in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


def join(
    pages: LivePages,
    show: Callable[[], Html] = lambda: problem_page("x"),
    slot: Slot | None = None,
    address: str = "/",
    *,
    common: bool = False,
) -> Viewer:
    """Join as a viewer that knows no content."""
    return pages.join(address, show, slot, "", common=common)


def problem_page(detail: str) -> Html:
    """Return a page that shows a text."""
    return Html("problem.html", {"title": "Test", "detail": detail})


def test_unchanged_content_is_not_sent_again(
    database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.live._SHARE", 0.0)
    viewer = join(LivePages(Notices(database)), lambda: problem_page("same"), LimitedSlot(3))
    [content] = contents(viewer.changes())
    assert "same" in content


def test_a_change_is_sent(database: orm.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.live._PAUSE", 0.0)
    monkeypatch.setattr("pacifica.dispatcher.rest.live._SHARE", 0.0)
    details = iter(["one", "two", "two", "three"])
    slot = LimitedSlot(4)
    monkeypatch.setattr(slot, "wait", lambda _: LimitedSlot.wait(slot, 0.0))
    viewer = join(LivePages(Notices(database)), lambda: problem_page(next(details)), slot)
    assert [next(each for each in ("one", "two", "three") if each in content)
            for content in contents(viewer.changes())] == ["one", "two", "three"]  # fmt: skip


def test_the_content_has_no_ages_and_no_layout(context: rest.Context, client: Client) -> None:
    client.send(1)
    page = client.get("/", accept=HTML).body.decode()
    [content] = re.findall(r"^data: (.*)$", live(context, "/").body.decode(), re.MULTILINE)
    text = json.loads(content)
    assert re.search(r"<time [^>]*>now</time>", page)
    assert re.search(r"<time [^>]*></time>", text)
    assert "<main" in page
    assert "<main" not in text


def test_several_viewers_share_one_rendering(database: orm.Database) -> None:
    shown: list[int] = []
    live_pages = LivePages(Notices(database))

    def show() -> Html:
        shown.append(1)
        return problem_page("x")

    viewers = [
        threading.Thread(target=lambda: contents(join(live_pages, show).changes()))
        for _ in range(20)
    ]
    for each in viewers:
        each.start()
    for each in viewers:
        each.join()
    assert len(shown) == 1


def busy_page(seconds: float) -> Callable[[], Html]:
    """Return a page that takes this much processor time and is never the same."""

    def show() -> Html:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return problem_page(str(time.monotonic()))

    return show


@contextmanager
def watching(viewers: Sequence[Viewer]) -> Iterator[list[list[float]]]:
    """Let viewers follow their pages, and note when each gets a new content."""
    times: list[list[float]] = [[] for _ in viewers]

    def watch(viewer: Viewer, seen: list[float]) -> None:
        seen.extend(time.monotonic() for part in viewer.changes() if b"event: page" in part)

    threads = [
        threading.Thread(target=watch, args=each) for each in zip(viewers, times, strict=True)
    ]
    for each in threads:
        each.start()
    try:
        yield times
    finally:
        for viewer in viewers:
            assert isinstance(viewer._slot, OpenSlot)  # noqa: SLF001 - ours
            viewer._slot.close()  # noqa: SLF001
        for each in threads:
            each.join()


class OpenSlot(Slot):
    """A slot that is open until it is closed."""

    def __init__(self) -> None:
        """Open it."""
        super().__init__(threading.Event(), None, lambda: None)

    def close(self) -> None:
        """End the response at its next look."""
        self._stopping.set()


def test_many_addresses_do_not_delay_the_common_pages(database: orm.Database) -> None:
    pages = LivePages(Notices(database))
    others = [
        join(pages, busy_page(0.012), OpenSlot(), f"/?text=x{number}")
        for number in range(MAX_ADDRESSES)
    ]
    common = join(pages, busy_page(0.012), OpenSlot(), "/", common=True)
    began = time.process_time()
    with watching([*others, common]) as times:
        wait_until(lambda: len(times[-1]) >= 4, timeout=60)
        elapsed = times[-1][-1] - times[-1][0]
        others_at_most = max(len(each) for each in times[20:-1])
    assert elapsed < 30  # three renewals
    assert others_at_most <= 2
    assert time.process_time() - began < 30


def test_the_number_of_live_addresses_is_limited(database: orm.Database) -> None:
    pages = LivePages(Notices(database))
    viewers = [
        join(pages, slot=OpenSlot(), address=f"/?text=x{number}") for number in range(MAX_ADDRESSES)
    ]
    with pytest.raises(TooManyStreamsError, match="Too many different live pages"):
        join(pages, slot=OpenSlot(), address="/?text=new")
    join(pages, slot=OpenSlot(), address="/?text=x1")  # known
    join(pages, slot=OpenSlot(), address="/", common=True)
    assert contents(viewers[-1].changes()) == []  # it had to give way
    viewers[0].leave()
    with pytest.raises(TooManyStreamsError):
        join(pages, slot=OpenSlot(), address="/?text=new")


def test_a_page_without_viewers_gives_way_to_another(
    database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = LivePages(Notices(database))
    for number in range(MAX_ADDRESSES):
        contents(join(pages, address=f"/?text=x{number}").changes())
    with pytest.raises(TooManyStreamsError):
        join(pages, address="/?text=new")
    monkeypatch.setattr("pacifica.dispatcher.rest.live._GIVE_UP_AFTER", 0.0)
    assert len(contents(join(pages, address="/?text=new").changes())) == 1


def test_a_slow_page_does_not_delay_others(database: orm.Database) -> None:
    pages = LivePages(Notices(database))
    may_end = threading.Event()

    def slow() -> Html:
        may_end.wait(60)
        return problem_page("slow")

    thread = threading.Thread(target=lambda: contents(join(pages, slow, address="/a").changes()))
    thread.start()
    try:
        assert len(contents(join(pages, address="/b").changes())) == 1
        assert thread.is_alive()
    finally:
        may_end.set()
        thread.join()


def test_equal_filters_are_one_live_page(context: rest.Context) -> None:
    full = replace(context, slots=rest.StreamSlots(0))
    for target in ("/?text=a&state=failed", "/?state=failed&text=a", "/?state=failed&text=a&type="):
        Client(full).get(target, accept="text/event-stream")
    assert len(full.live._contents) == 1  # noqa: SLF001 - nothing else shows it


def test_too_many_live_pages_are_refused_with_503(context: rest.Context) -> None:
    full = Client(replace(context, slots=rest.StreamSlots(0)))
    targets = [f"/?text=x{number}" for number in range(MAX_ADDRESSES)]
    statuses = {full.get(target, accept="text/event-stream").status for target in targets}
    assert statuses == {200}
    response = full.get("/?text=new", accept="text/event-stream")
    response.problem(503)
    assert response.headers["retry-after"] == "5"
    assert full.get("/?text=x0", accept="text/event-stream").status == 200
    assert full.get("/", accept="text/event-stream").status == 200


def test_the_content_equals_that_of_the_page_except_ages() -> None:
    # A browser compares the two node by node, white space included.
    html = problem_page("x")
    [main] = re.findall(r"<main[^>]*>(.*)</main>", html.page(), re.DOTALL)
    assert main == html.content()


def test_a_large_event_is_cut_on_pages_but_not_in_json(context: rest.Context) -> None:
    client = Client(replace(context, max_event_size=8 * 1024**2))
    long = "s" * 100_000
    data: Json = [1] * 100_000
    for _ in range(60):
        data = [data]  # its indented form is 60 times as long
    uuid = client.send(1, type=MATCHED, subject=long, data=data).json["uuid"]
    assert len(page(client, "/")) < 20_000
    shown = page(client, f"/events/{uuid}")
    assert len(shown) < 250_000
    assert "Accept: application/json" in html.unescape(shown)
    assert f"http://127.0.0.1/events/{uuid}" in shown
    assert client.get("/events").json["events"][0]["event"]["subject"] == long
    assert client.get(f"/events/{uuid}").json["event"]["data"] == data


def test_a_page_shows_the_end_of_a_large_output(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", position, float(position), b"%07d\n" % position * 8192)
        for position in range(0, 20 * 65_536, 65_536)
    ]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    shown = page(client, f"/runs/{claim.run}")
    assert "Only the end is shown" in shown
    assert "were not kept" not in shown
    assert len(shown) < 300_000
    assert f"{19 * 65_536:07}" in shown


def test_explanations_cut_long_values(client: Client) -> None:
    event = make_event(type="t" * 50_000)
    response = client.post(event.sent.encode(), "/explain")
    assert len(response.body) < 20_000
