"""Deliveries of GitHub, as in its documentation."""

import pytest

from pacifica.dispatcher.adapters import github
from pacifica.dispatcher.events import Event, Json
from tests.unit.adapters.deliveries import delivery, made, missing

TOOLS = "https://api.github.com/repos/lab/tools"
ADA = "https://api.github.com/users/ada"
LAB = "https://api.github.com/orgs/lab"
AT = "2026-11-23T16:57:37Z"
REPOSITORY: dict[str, Json] = {
    "id": 5,
    "name": "tools",
    "url": TOOLS,
    "owner": {"url": LAB},
    "updated_at": AT,
}
COMMON: dict[str, Json] = {"repository": REPOSITORY, "sender": {"login": "ada", "url": ADA}}


def of(name: str, body: Json) -> dict[str, Json]:
    """Return the attributes of a GitHub event without its id."""
    attributes = made(
        github.convert_github_delivery, body, X_GitHub_Event=name, X_GitHub_Delivery="d-1"
    )
    assert attributes.pop("id") == "d-1"
    return attributes


def expected(type_: str, source: str = TOOLS, **more: Json) -> dict[str, Json]:
    """Return the expected attributes."""
    return {"type": f"com.github.{type_}", "source": source, **more}


DOCUMENTED: list[tuple[str, dict[str, Json], dict[str, Json]]] = [
    ("push", {"ref": "refs/heads/main"}, expected("push", subject="refs/heads/main")),
    (
        "pull_request",
        {"action": "opened", "number": 7, "pull_request": {"id": 9, "updated_at": AT}},
        expected("pull_request.opened", subject="7", time=AT),
    ),
    (
        "issues",
        {"action": "closed", "issue": {"number": 3, "updated_at": AT}},
        expected("issue.closed", subject="3", time=AT),
    ),
    (
        "issue_comment",
        {
            "action": "created",
            "issue": {"url": f"{TOOLS}/issues/3"},
            "comment": {"id": 11, "updated_at": AT},
        },
        expected("issue_comment.created", f"{TOOLS}/issues/3", subject="11", time=AT),
    ),
    (
        "check_run",
        {"action": "created", "check_run": {"id": 1, "completed_at": None, "started_at": AT}},
        expected("check_run.created", subject="1", time=AT),
    ),
    (
        "commit_comment",
        {"action": "created", "comment": {"id": 2, "url": f"{TOOLS}/comments/2", "commit_id": "c"}},
        expected("commit_comment.created", f"{TOOLS}/comments/2/c", subject="2"),
    ),
    (
        "create",
        {"ref": "v1", "ref_type": "tag"},
        expected("create.tag", subject="v1"),
    ),
    (
        "deployment_status",
        {
            "action": "created",
            "deployment": {"url": f"{TOOLS}/deployments/1"},
            "deployment_status": {"state": "success", "url": f"{TOOLS}/s/1", "updated_at": AT},
        },
        expected(
            "deployment_status.success",
            f"{TOOLS}/deployments/1",
            subject=f"{TOOLS}/s/1",
            time=AT,
        ),
    ),
    (
        "installation",
        {
            "action": "created",
            "installation": {"id": 8, "account": {"url": ADA}, "updated_at": 1795453057},
        },
        expected("installation.created", ADA, subject="8", time=AT),
    ),
    (
        "marketplace_purchase",
        {
            "action": "purchased",
            "effective_date": "2026-11-23T00:00:00+00:00",
            "marketplace_purchase": {"account": {"login": "ada"}},
        },
        expected(
            "marketplace_purchase.purchased",
            "https://api.github.com/users",
            subject="ada",
            time="2026-11-23T00:00:00+00:00",
        ),
    ),
    (
        "membership",
        {
            "action": "added",
            "scope": "team",
            "member": {"login": "bob"},
            "team": {"url": "https://api.github.com/teams/1"},
        },
        expected("membership.team.added", "https://api.github.com/teams/1", subject="bob"),
    ),
    (
        "release",
        {"action": "published", "release": {"id": 4, "published_at": AT, "created_at": "x"}},
        expected("release.published", subject="4", time=AT),
    ),
    (
        "release",
        {"action": "edited", "release": {"id": 4, "published_at": AT}},
        expected("release.edited", subject="4"),
    ),
    (
        "repository",
        {"action": "renamed"},
        expected("repository.renamed", LAB, subject="tools", time=AT),
    ),
    (
        "security_advisory",
        {"action": "updated", "security_advisory": {"ghsa_id": "GHSA-1", "updated_at": AT}},
        expected("security_advisory.updated", "github.com", subject="GHSA-1", time=AT),
    ),
    ("star", {"action": "deleted", "starred_at": None}, expected("star.deleted")),
    (
        "status",
        {"sha": "c0", "state": "success", "updated_at": AT},
        expected("status", subject="c0", time=AT),
    ),
]


@pytest.mark.parametrize(
    ("name", "body", "attributes"), DOCUMENTED, ids=[str(each[2]["type"]) for each in DOCUMENTED]
)
def test_a_documented_event(name: str, body: dict[str, Json], attributes: dict[str, Json]) -> None:
    assert of(name, {**COMMON, **body}) == attributes


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ({"action": "completed"}, expected("workflow_run.completed")),
        ({"action": None}, expected("workflow_run")),
    ],
)
def test_an_undocumented_event(body: dict[str, Json], attributes: dict[str, Json]) -> None:
    assert of("workflow_run", {**COMMON, **body}) == attributes


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({"organization": {"url": LAB}, "sender": {"url": ADA}}, LAB),
        ({"sender": {"url": ADA}}, ADA),
    ],
)
def test_an_event_without_a_repository(body: dict[str, Json], source: str) -> None:
    team: dict[str, Json] = {"action": "created", "team": {"id": 6}}
    assert of("team", {**team, **body}) == expected("team.created", source, subject="6")


def test_a_ping_has_no_event() -> None:
    ping = delivery({"zen": "Half measures.", "hook_id": 1}, X_GitHub_Event="ping")
    received = github.convert_github_delivery(ping)
    assert (received.events, received.batch) == ((), True)


def test_missing_parts_are_named() -> None:
    assert missing(github.convert_github_delivery, COMMON) == {
        "/type": "is required, but the delivery has no value for header X-GitHub-Event"
    }
    assert missing(github.convert_github_delivery, {}, X_GitHub_Event="push") == {
        "/id": "is required, but the delivery has no value for header X-GitHub-Delivery",
        "/source": "is required, but the delivery has no value for {data.repository.url} or "
        "{data.organization.url} or {data.sender.url}",
    }


def test_a_header_that_is_not_utf_8_is_rejected() -> None:
    event = Event({"xgithubevent": "push", "xgithubdelivery": "d\udcff"}, COMMON, "{}")
    assert missing(lambda _: github.convert_github_delivery(event), None).keys() == {"/id"}
