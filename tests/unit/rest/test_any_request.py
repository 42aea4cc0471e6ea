"""Random requests never cause an internal error."""

import json
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.events import Json
from tests.factories import make_event
from tests.unit.rest.factories import BATCH, HEADERS, MATCHED, STRUCTURED, Client

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_MEMBER = st.sampled_from(
    ["specversion", "id", "source", "type", "subject", "time", "data", "data_base64",
     "datacontenttype", "cloudEventsVersion", "eventID", "eventType", "eventTime", "extensions",
     "contentType"]
) | st.text(max_size=5)  # fmt: skip
_VALUE = _JSON | st.sampled_from(["1.0", "0.1", "2026-11-23T16:57:37Z", "/s"])
_EVENT = st.builds(
    lambda base, members: {**base, **members},
    st.sampled_from(
        [
            {},
            {"specversion": "1.0", "id": "1", "source": "/s", "type": MATCHED},
            {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"},
        ]
    ),
    st.dictionaries(_MEMBER, _VALUE, max_size=4),
)
_SETTINGS = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_SETTINGS
@given(
    body=st.binary(max_size=200),
    content_type=st.sampled_from([STRUCTURED, BATCH, "application/json"])
    | st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_no_body_causes_an_internal_error(client: Client, body: bytes, content_type: str) -> None:
    response = client.post(body, content_type=content_type)
    if response.status != 202:
        assert response.status in {400, 415}
        response.problem(response.status)


@_SETTINGS
@given(document=_EVENT | st.lists(_EVENT, max_size=3) | _JSON, batch=st.booleans())
def test_no_json_causes_an_internal_error(client: Client, document: Json, *, batch: bool) -> None:
    response = client.post(
        json.dumps(document).encode(), content_type=BATCH if batch else STRUCTURED
    )
    if response.status != 202:
        response.problem(400)
    assert client.get("/events?limit=3").status == 200


@_SETTINGS
@given(
    headers=st.dictionaries(
        st.sampled_from([*HEADERS, "ce_time", "ce_data", "ce_x_a", "ce_eventid", "accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    ),
    body=st.binary(max_size=50),
    content_type=st.sampled_from(["", "application/json", "text/plain", "a"]),
)
def test_no_headers_cause_an_internal_error(
    client: Client, headers: dict[str, str], body: bytes, content_type: str
) -> None:
    response = client.post(body, content_type=content_type, **{**HEADERS, **headers})
    if response.status != 202:
        response.problem(400)


@_SETTINGS
@given(target=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_path_causes_an_internal_error(client: Client, target: str) -> None:
    response = client.get(f"/{target}")
    assert response.status < 500
    assert b"Traceback" not in response.body


def test_a_stored_event_can_be_read_back(client: Client, database: orm.Database) -> None:
    now = time.time()
    uuid = client.send(data={"a": [1, "\ud800", None]}).json["uuid"]
    stored = orm.event(database, uuid)
    assert events.parse_event(stored.sent).data == {"a": [1, "\ud800", None]}
    assert now <= stored.received <= time.time()
    assert client.get(f"/events/{uuid}").json["event"]["data"] == {"a": [1, "\ud800", None]}


def test_an_event_is_explained_and_not_stored(client: Client) -> None:
    response = client.post(make_event(type=MATCHED).sent.encode(), "/explain")
    found = {each["application"]: each for each in response.json["applications"]}
    assert response.status == 200
    assert {name: each["matched"] for name, each in found.items()} == {
        "add": False,
        "mul": False,
        "hello": True,
    }
    [clause] = found["hello"]["clauses"]
    assert (clause["held"], clause["value"]) == (True, MATCHED)
    assert client.get("/events").json["events"] == []


def test_every_event_in_a_batch_is_explained(client: Client) -> None:
    batch = f"[{make_event(1).sent}, {make_event(2, type=MATCHED).sent}]".encode()
    response = client.post(batch, "/explain", content_type=BATCH)
    assert [
        [each["application"] for each in event["applications"] if each["matched"]]
        for event in response.json["events"]
    ] == [[], ["hello"]]


def test_an_expired_event_matches_no_application(client: Client) -> None:
    event = make_event(type=MATCHED, expirytime="2020-01-01T00:00:00Z")
    response = client.post(event.sent.encode(), "/explain")
    assert not any(each["matched"] for each in response.json["applications"])
    assert "the event has expired" in response.json["applications"][-1]["note"]


def test_an_invalid_event_is_not_explained(client: Client) -> None:
    assert client.post(b"{}", "/explain").status == 400
