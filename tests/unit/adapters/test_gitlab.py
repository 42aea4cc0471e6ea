"""Deliveries of GitLab, as in its documentation."""

import pytest

from pacifica.dispatcher.adapters import gitlab
from pacifica.dispatcher.events import Json
from tests.unit.adapters.deliveries import made, missing

TOOLS = "https://gitlab.example.org/lab/tools"
INSTANCE = "https://gitlab.example.org"
COMMON: dict[str, Json] = {"project": {"web_url": TOOLS}, "repository": {"homepage": TOOLS}}


def of(body: dict[str, Json]) -> dict[str, Json]:
    """Return the attributes of a GitLab event without its id."""
    attributes = made(
        gitlab.convert_gitlab_delivery, body, Idempotency_Key="k-1", X_Gitlab_Instance=INSTANCE
    )
    assert attributes.pop("id") == "k-1"
    return attributes


def expected(type_: str, source: str = TOOLS, **more: Json) -> dict[str, Json]:
    """Return the expected attributes."""
    return {"type": f"com.gitlab.{type_}", "source": source, **more}


def note(on: str, **more: Json) -> dict[str, Json]:
    """Return a comment."""
    attributes: dict[str, Json] = {
        "id": 1243,
        "noteable_type": on,
        "created_at": "2026-11-23 16:57:37 UTC",
        "url": f"{TOOLS}/-/things/1#note_1243",
    }
    return {"object_kind": "note", "object_attributes": attributes, **more}


def thing(kind: str, **attributes: Json) -> dict[str, Json]:
    """Return an event on an object with these attributes."""
    return {"object_kind": kind, "object_attributes": attributes}


NOTED = {"subject": "1243", "time": "2026-11-23T16:57:37Z"}
DOCUMENTED = [
    ({"object_kind": "push", "checkout_sha": "da15"}, expected("push", subject="da15")),
    ({"object_kind": "push", "checkout_sha": None}, expected("push")),
    (
        {"object_kind": "tag_push", "ref": "refs/tags/v1"},
        expected("tag_push", subject="refs/tags/v1"),
    ),
    (thing("issue", state="opened", iid=23), expected("issue.opened", subject="23")),
    (
        note("Commit", commit={"url": f"{TOOLS}/-/commit/da15"}),
        expected("note.commit", f"{TOOLS}/-/commit/da15", **NOTED),
    ),
    (note("MergeRequest"), expected("note.merge_request", f"{TOOLS}/-/things/1", **NOTED)),
    (note("Issue"), expected("note.issue", f"{TOOLS}/-/things/1", **NOTED)),
    (note("Snippet"), expected("note.snippet", f"{TOOLS}/-/things/1", **NOTED)),
    (
        thing("merge_request", action="open", iid=1, created_at="2026-11-23T16:57:37Z"),
        expected("merge_request.open", subject="1", time="2026-11-23T16:57:37Z"),
    ),
    (thing("merge_request", iid=1), expected("merge_request", subject="1")),
    (
        thing("wiki_page", action="create", slug="awesome"),
        expected("wiki_page.create", subject="awesome"),
    ),
    (thing("pipeline", id=31, status="success"), expected("pipeline.success", subject="31")),
    (
        {"object_kind": "build", "build_id": 1977, "build_status": "created"},
        expected("job.created", subject="1977"),
    ),
]


@pytest.mark.parametrize(
    ("body", "attributes"), DOCUMENTED, ids=[str(each[1]["type"]) for each in DOCUMENTED]
)
def test_a_documented_event(body: dict[str, Json], attributes: dict[str, Json]) -> None:
    assert of({**COMMON, **body}) == attributes


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ({**COMMON, **thing("work_item", action="open")}, expected("work_item.open")),
        ({**COMMON, "object_kind": "release", "action": "create"}, expected("release.create")),
        ({**COMMON, "object_kind": "deployment"}, expected("deployment")),
        (note("Epic", **COMMON), expected("note")),
        ({"event_name": "user_create"}, expected("user_create", INSTANCE)),
        (
            {"object_kind": "milestone", "group": {"web_url": f"{INSTANCE}/groups/lab"}},
            expected("milestone", f"{INSTANCE}/groups/lab"),
        ),
    ],
)
def test_an_undocumented_event(body: dict[str, Json], attributes: dict[str, Json]) -> None:
    assert of(body) == attributes


@pytest.mark.parametrize(
    ("headers", "id_"),
    [
        ({"webhook_id": "w", "Idempotency_Key": "k", "X_Gitlab_Webhook_UUID": "u"}, "w"),
        ({"Idempotency_Key": "k", "X_Gitlab_Webhook_UUID": "u"}, "k"),
        ({"X_Gitlab_Webhook_UUID": "u", "X_Gitlab_Event_UUID": "e"}, "u"),
    ],
)
def test_the_id_comes_from_a_header(headers: dict[str, str], id_: str) -> None:
    push: dict[str, Json] = {**COMMON, "object_kind": "push"}
    assert made(gitlab.convert_gitlab_delivery, push, **headers)["id"] == id_


def test_missing_parts_are_named() -> None:
    found = missing(gitlab.convert_gitlab_delivery, {}, X_Gitlab_Event_UUID="e")
    assert found.keys() == {"/id", "/source", "/type"}
    assert "header Idempotency-Key" in found["/id"]


def test_an_invalid_time_is_rejected() -> None:
    merged: dict[str, Json] = {**COMMON, **thing("merge_request", created_at="yesterday")}
    assert missing(gitlab.convert_gitlab_delivery, merged, Idempotency_Key="k").keys() == {"/time"}
