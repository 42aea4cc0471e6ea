"""The pages, asked of the WSGI application itself: what they show, who may act, live changes."""

import html
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pacifica.dispatcher import events, orm, rest
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.orm.search import uuid_at
from pacifica.dispatcher.output import Piece
from pacifica.dispatcher.rest.live import LivePages
from pacifica.dispatcher.rest.streams import Held
from tests.unit.conftest import (
    Postbox,
    accept_runs,
    app,
    change,
    claim_next,
    claimed_run,
    due,
    published_run,
    stored,
    view,
)
from tests.unit.test_rest import MATCHED, NOWHERE, Answer, Client, act, make_service

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""What a browser accepts."""

FORM = "application/x-www-form-urlencoded"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def service(database: orm.Database, postbox: Postbox) -> rest.Service:
    return make_service(database, postbox)


@pytest.fixture
def client(service: rest.Service) -> Client:
    return Client(service)


def page(client: Client, target: str, status: int = 200) -> str:
    """A page as a browser gets it."""
    answer = client.get(target, accept=HTML)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html;charset=utf-8")
    return answer.body.decode()


def rows(text: str) -> list[str]:
    """The events on a page, by uuid."""
    return re.findall(r'id="event-([^"]+)"', text)


@pytest.mark.parametrize("target", ["/", "/events", "/applications", "/workers"])
@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/json, text/html;q=0.9", "xtext/html, text/plainer"],
)
def test_who_does_not_prefer_html_gets_json(client: Client, target: str, accept: str) -> None:
    answer = client.get(target, accept=accept)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/", "/events", "/applications", "/workers", "/?state=failed"])
def test_a_page_loads_nothing_from_elsewhere(client: Client, target: str) -> None:
    headers = client.get(target, accept=HTML).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert (headers["x-content-type-options"], headers["vary"]) == ("nosniff", "Accept")
    for address in re.findall(r'(?:src|href)="([^"]*)"', page(client, target)):
        assert address.startswith(("/", "#", "data:,"))


def test_what_a_page_loads_is_there(client: Client) -> None:
    addresses = re.findall(r'"(/static/[^"]+)"', page(client, "/"))
    kinds = {client.get(address).headers["content-type"] for address in addresses}
    assert kinds == {"text/css;charset=utf-8", "text/javascript;charset=utf-8"}


@pytest.mark.parametrize(
    "name", ["", "nothing.css", "page.css/more", "../render.py", "%2e%2e/words.py"]
)
def test_nothing_else_is_loaded(client: Client, name: str) -> None:
    client.get(f"/static/{name}").problem(404)


def test_a_first_page_says_what_to_try(client: Client) -> None:
    assert "curl http://127.0.0.1:80/dispatch/add/2/2" in page(client, "/").replace(
        "http://127.0.0.1/", "http://127.0.0.1:80/"
    )


def test_filters_of_a_page_are_those_of_the_json(client: Client, database: orm.Database) -> None:
    one = stored(database, 1, "one", subject="wanted")
    other = stored(database, 2, type="other")
    assert rows(page(client, "/")) == [other, one]
    assert rows(page(client, "/?text=wanted&state=&type=")) == [one]
    assert rows(page(client, "/?state=unmatched")) == [other]
    assert rows(page(client, "/?application=nobody")) == []
    assert "limit is a number" in page(client, "/?limit=x", 400)


def test_pages_of_events_follow_one_another(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number) for number in range(5)]
    first = page(client, "/?limit=3")
    [following] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = page(client, following.replace("&amp;", "&"))
    assert rows(first) + rows(second) == uuids[::-1]
    assert 'rel="next"' not in second


def test_an_event_is_text_wherever_it_stands(client: Client, database: orm.Database) -> None:
    uuid = stored(
        database, EVIL, "hello", type=EVIL, source="/" + "x" * 10, subject=EVIL, data=EVIL
    )
    [run] = orm.event(database, uuid).runs
    claim = claim_next(database)
    orm.fail(database, claim, orm.Outcome(exit_code=1, error=EVIL), [])
    for target in ("/", f"/events/{uuid}", f"/runs/{run.uuid}", "/applications", "/workers"):
        text = page(client, target)
        assert EVIL not in text
        assert text.count("<script") == 1


def test_an_event_says_why_it_matched(client: Client) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    text = page(client, f"/events/{uuid}")
    assert f'found <code>"{MATCHED}"</code>' in text
    assert "only GET /dispatch runs it" in text


def test_a_run_that_waits_says_where_to_look(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    assert "No attempt has begun yet" in page(client, f"/runs/{run}")


@pytest.mark.parametrize(
    ("target", "status"),
    [(f"/events/{NOWHERE}", 404), (f"/runs/{NOWHERE}", 404), ("/events/x", 422), ("/?x=1", 400)],
)
def test_a_problem_is_a_page_too(client: Client, target: str, status: int) -> None:
    assert 'class="reason"' in page(client, target, status)


def test_a_form_leads_back_to_its_page(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    answer = act(client, f"/runs/{run}/cancel", accept=HTML, sec_fetch_site="same-origin")
    assert (answer.status, answer.headers["location"]) == (303, f"/runs/{run}")
    assert view(database, run).status == "cancelled"
    again = act(client, f"/runs/{run}/cancel", accept=HTML, sec_fetch_site="same-origin")
    assert (again.status, b"it is cancelled" in again.body) == (409, True)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "?"])
@pytest.mark.parametrize("accept", [HTML, "application/json"])
def test_another_sites_page_may_do_nothing(
    client: Client, database: orm.Database, site: str, accept: str
) -> None:
    run = published_run(database)
    event = view(database, run).event
    for target in (f"/runs/{run}/cancel", f"/events/{event}/cancel", "/applications/hello/pause"):
        assert act(client, target, accept=accept, sec_fetch_site=site).status == 403
    assert (view(database, run).status, orm.paused(database)) == ("queued", {})


def test_an_application_is_paused_on_its_page(client: Client, database: orm.Database) -> None:
    answer = act(client, "/applications/hello/pause", accept=HTML)
    assert (answer.status, answer.headers["location"]) == (303, "/applications")
    assert "/applications/hello/resume" in page(client, "/applications")
    assert list(orm.paused(database)) == ["hello"]


def together(client: Client, action: str, *uuids: str, **headers: str) -> Answer:
    """Send the form of the question."""
    body = "&".join([f"action={action}", *(f"event={uuid}" for uuid in uuids)]).encode()
    return client.post(body, "/together", content_type=FORM, **headers)


def test_a_question_says_how_many(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number, type="a") for number in range(3)]
    stored(database, 3, type="b")
    selected = "&".join(f"event={uuid}" for uuid in uuids[:2])
    assert "Replay 2 events?" in page(client, f"/together?action=replay&{selected}")
    assert "Replay 1 event?" in page(client, f"/together?action=replay&event={uuids[0]}")
    everything = page(client, "/together?action=replay&all=yes&type=a&text=")
    assert "Replay 3 events?" in everything
    assert re.findall(r'name="event" value="([^"]+)"', everything) == uuids[::-1]
    assert "No event is selected" in page(client, "/together?action=cancel")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("action=drop", 400),
        ("action=replay&action=retry", 400),
        ("action=replay&event=x", 422),
        ("action=replay&all=yes&nothing=1", 400),
        ("action=replay" + f"&event={NOWHERE}" * 501, 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(client: Client, query: str, status: int) -> None:
    page(client, f"/together?{query}", status)


def test_several_events_are_acted_on_each_by_itself(client: Client, database: orm.Database) -> None:
    uuids = [stored(database, number, "hello") for number in range(2)]
    done = together(client, "cancel", *uuids, NOWHERE, sec_fetch_site="same-origin")
    text = done.body.decode()
    assert (done.status, "Cancelled 2 events" in text, f"no event {NOWHERE}" in text) == (
        *(200, True, True),
    )
    assert {orm.event(database, uuid).status for uuid in uuids} == {"cancelled"}
    assert "Retried 2 events" in together(client, "retry", *uuids).body.decode()
    assert {orm.event(database, uuid).status for uuid in uuids} == {"queued"}


def test_another_sites_form_acts_on_nothing(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1, "hello")
    assert together(client, "cancel", uuid, sec_fetch_site="cross-site").status == 403
    assert orm.event(database, uuid).status == "queued"


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"event=1", b"a=1&" * 600, b"action=replay&event=x"]
)
def test_a_form_that_is_none_of_ours_is_refused(client: Client, body: bytes) -> None:
    assert client.post(body, "/together", content_type=FORM).status in {400, 422}


def test_more_than_fit_into_a_question_are_gone_on_with(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.forms._AT_ONCE", 2)
    uuids = [stored(database, number) for number in range(3)]
    first = page(client, "/together?action=replay&all=yes")
    [more] = re.findall(r'name="more" value="([^"]+)"', first)
    second = page(client, more.replace("&amp;", "&"))
    asked = [re.findall(r'name="event" value="([^"]+)"', text) for text in (first, second)]
    assert asked == [uuids[:0:-1], uuids[:1]]


def test_what_was_not_found_yet_is_searched_for_further(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.forms._PATIENCE", 0.0)
    wanted = stored(database, 1, subject="wanted")
    stored(database, 2)
    moved = f"{uuid_at(time.time() - 1e6)[:14]}{wanted[14:]}"
    change(database, "UPDATE event SET uuid = ? WHERE uuid = ?", (moved, wanted))
    first = page(client, "/together?action=replay&all=yes&text=wanted")
    assert "None was found so far" in first
    [more] = re.findall(r'href="(/together[^"]+)"', first)
    second = page(client, html.unescape(more))
    assert re.findall(r'name="event" value="([^"]+)"', second) == [moved]


def test_failures_that_have_something_in_common_stand_together(
    client: Client, database: orm.Database
) -> None:
    for number in range(3):
        accept_runs(database, app("hello"), number)
        due(database)
        run = orm.search(database, orm.EventFilter(), 1).events[0].runs[0].uuid
        claim = orm.claim(database, run, orm.Claimant("worker", "host", 1, {}))
        assert claim is not None
        orm.fail(database, claim, orm.Outcome(exit_code=3), [])
        last = f"file {number} is broken"
        change(database, "UPDATE attempt SET last_line = ? WHERE run = ?", (last, run))
    [group] = orm.failures(database)
    assert (group.application, group.how, group.last_line, len(group.runs), group.runs[0]) == (
        *("hello", "exit code 3", "file # is broken", 3, run),
    )
    assert "file # is broken" in page(client, "/applications")
    question = page(client, f"/together?group={group.group}")
    assert "Retry 3 runs?" in question
    runs = re.findall(r'name="run" value="([^"]+)"', question)
    assert runs == list(group.runs)
    body = "&".join(["action=retry", *(f"run={each}" for each in [*runs, NOWHERE])]).encode()
    done = client.post(body, "/together", content_type=FORM).body.decode()
    assert "Retried 3 runs" in done
    assert f'href="/runs/{NOWHERE}"' in done
    assert {view(database, each).status for each in runs} == {"queued"}
    assert "No run has failed" in page(client, "/applications")
    page(client, f"/together?group={group.group}", 404)


def test_runs_are_only_retried_together(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    body = f"action=cancel&run={run}".encode()
    assert client.post(body, "/together", content_type=FORM, accept=HTML).status == 400
    assert view(database, run).status == "queued"


def edited(client: Client, uuid: str, text: str, **headers: str) -> Answer:
    """Send the form that has a copy of an event."""
    body = urllib.parse.urlencode({"sent": text}).encode()
    return client.post(body, f"/edit?event={uuid}", content_type=FORM, accept=HTML, **headers)


def copy(client: Client, uuid: str) -> dict[str, Json]:
    """The copy of an event that is offered."""
    [text] = re.findall(
        r"<textarea[^>]*>\n(.*?)</textarea>", page(client, f"/edit?event={uuid}"), re.DOTALL
    )
    found: dict[str, Json] = json.loads(html.unescape(text))
    return found


def test_a_copy_of_an_event_is_changed_and_sent(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1, subject="</textarea>", data="ä")
    offered = copy(client, uuid)
    assert offered.pop("id") not in {"1", copy(client, uuid)["id"]}
    was = {"specversion": "1.0", "source": "/tests", "type": "org.example"}
    assert offered == {**was, "subject": "</textarea>", "data": "ä"}
    answer = edited(client, uuid, json.dumps({**offered, "id": "2", "type": MATCHED}))
    assert answer.status == 303
    new = orm.event(database, answer.headers["location"].removeprefix("/events/"))
    assert (events.parse(new.sent).id, [run.application for run in new.runs]) == ("2", ["hello"])


def test_a_copy_in_version_0_1_is_one_in_1_0(client: Client) -> None:
    old = {"cloudEventsVersion": "0.1", "eventID": "x", "eventType": "t", "source": "/s"}
    uuid = client.post(json.dumps(old).encode()).json["uuid"]
    was = {"specversion": "1.0", "source": "/s", "type": "t"}
    assert {**copy(client, uuid), "id": ""} == {**was, "id": ""}


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("{", 400, "JSON"),
        ('{"specversion": "1.0", "id": "", "source": "/s", "type": "<t>"}', 400, "/id"),
        ('{"specversion": "1.0", "id": "1", "source": "/tests", "type": "t"}', 409, "another id"),
    ],
)
def test_what_is_wrong_with_a_copy_stands_beside_it(
    client: Client, database: orm.Database, text: str, status: int, said: str
) -> None:
    uuid = stored(database, 1)
    answer = edited(client, uuid, text)
    shown = answer.body.decode()
    assert answer.status == status
    [problems] = re.findall(r'<ul class="reason">(.*?)</ul>', shown, re.DOTALL)
    assert said in problems
    assert html.escape(text, quote=False) in shown.replace("&#34;", '"')


def test_a_copy_is_no_longer_than_an_event_may_be(
    service: rest.Service, database: orm.Database
) -> None:
    client = Client(replace(service, max_event_size=200))
    uuid = stored(database, 1)
    assert edited(client, uuid, "ä" * 101).status == 413
    assert edited(client, uuid, " " * 500).status == 413
    assert edited(client, uuid, "x" * 601).status == 413


@pytest.mark.parametrize(
    ("query", "status"), [("", 422), ("event=x", 422), (f"event={NOWHERE}", 404), ("more=1", 400)]
)
def test_there_is_no_copy_of_nothing(client: Client, query: str, status: int) -> None:
    page(client, f"/edit?{query}", status)
    answer = client.post(b"", f"/edit?{query}", content_type=FORM, accept=HTML)
    assert answer.status == status


def test_another_site_sends_no_copy(client: Client, database: orm.Database) -> None:
    uuid = stored(database, 1)
    assert edited(client, uuid, "{}", sec_fetch_site="cross-site").status == 403


def test_a_copy_of_what_was_run_by_hand_is_run_again(
    client: Client, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/2").text.strip()
    answer = edited(client, uuid, json.dumps({**copy(client, uuid), "data": [3, 4]}))
    new = orm.event(database, answer.headers["location"].removeprefix("/events/"))
    assert [run.application for run in new.runs] == ["add"]


def test_the_output_of_one_stream_is_shown(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    written = [Piece("stdout", 0, 1.0, b"\x1b[1mout\n"), Piece("stderr", 0, 2.0, b"<err>\n")]
    assert orm.save_output(database, claim, written, orm.Notes())
    out, err = '<span class="bold">out\n</span>', '<span class="stderr">&lt;err&gt;\n</span>'
    for query, shown in (("", out + err), ("?stream=stdout", out), ("?stream=stderr", err)):
        text = page(client, f"/runs/{claim.run}{query}")
        [output] = re.findall(r'<pre id="output"[^>]*>(.*?)</pre>', text, re.DOTALL)
        assert output == shown
    page(client, f"/runs/{claim.run}?stream=x", 400)


def test_of_a_long_output_the_end_is_shown(
    client: Client, database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.page.render._MAX_SHOWN", 5)
    claim = claimed_run(database)
    written = [Piece("stdout", 0, 1.0, b"out"), Piece("stderr", 0, 2.0, b"err")]
    assert orm.save_output(database, claim, written, orm.Notes())
    text = page(client, f"/runs/{claim.run}")
    assert 'wrap" tabindex="0"' in text
    assert '>ut<span class="stderr">err</span></pre>' in text
    assert "The end of it" in text


def test_a_run_tells_of_its_states(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.retry_later(database, claim, orm.Outcome(error="it broke"), [], time.time() + 90)
    change(database, "UPDATE run SET queued = 1000")
    change(database, "UPDATE attempt SET started = 1002, finished = 1012")
    lines = timeline(page(client, f"/runs/{claim.run}"))
    assert lines[0].startswith("queued")
    assert re.fullmatch("attempt 1 began .* ago, after waiting for 2.0 s", lines[1])
    assert lines[2] == "attempt 1 failed after 10 s: it broke"
    assert re.fullmatch("waiting, to begin in .*: what waits, and why", lines[3])


def timeline(text: str) -> list[str]:
    """The lines of a run's timeline, without their markup."""
    [found] = re.findall(r'<ol class="timeline">(.*?)</ol>', text, re.DOTALL)
    bare = [re.sub(r"<[^>]*>", "", each) for each in found.split("</li>")]
    return [" ".join(each.split()) for each in bare if each.strip()]


def test_a_browser_without_a_place_gets_what_is_new_and_comes_again(service: rest.Service) -> None:
    first = live(service, "/")
    assert first.headers["content-type"] == "text/event-stream;charset=utf-8"
    [tag] = re.findall(r"^id: (.*)$", first.body.decode(), re.MULTILINE)
    assert live(service, "/", last_event_id=tag).body == b"retry: 3000\n\n"
    [content] = re.findall(r"^data: (.*)$", first.body.decode(), re.MULTILINE)
    assert "Nothing has arrived yet" in json.loads(content)


def live(service: rest.Service, target: str, **headers: str) -> Answer:
    """Server-sent events of a server that has no place left."""
    full = Client(replace(service, streams=rest.Streams(0)))
    return full.get(target, accept="text/event-stream", **headers)


class Looking(Held):
    """A place that is looked from a number of times."""

    def __init__(self, times: int) -> None:
        """Look so often."""
        self._left = times

    def wait(self, seconds: float) -> bool:
        """Go on as long as there are looks left."""
        assert seconds == 1.0
        self._left -= 1
        return self._left > 0


def contents(stream: Iterator[bytes]) -> list[str]:
    """What a browser is sent."""
    text = b"".join(stream).decode()
    return [json.loads(data) for data in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


def test_what_has_not_changed_is_not_sent_again() -> None:
    stream = LivePages().follow("/", lambda: "<main id=1>same</main>", Looking(5), "")
    assert contents(stream) == ["same"]


def test_times_that_go_on_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.rest.live._PAUSE", 0.0)
    monkeypatch.setattr("pacifica.dispatcher.rest.live._SHARE", 0.0)
    made = iter(range(10))

    def show() -> str:
        return f'<main><time datetime="x">{next(made)} s ago</time></main>'

    looking = Looking(5)
    monkeypatch.setattr(looking, "wait", lambda _: Looking.wait(looking, 1.0))
    assert contents(LivePages().follow("/", show, looking, "")) == [
        '<time datetime="x">0 s ago</time>'
    ]
    assert next(made) == 5


def test_many_who_look_at_the_same_are_shown_it_once() -> None:
    shown: list[int] = []
    page_of_all = LivePages()

    def show() -> str:
        shown.append(1)
        return "<main>x</main>"

    looks = [
        threading.Thread(target=lambda: contents(page_of_all.follow("/", show, None, "")))
        for _ in range(20)
    ]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    assert len(shown) == 1
