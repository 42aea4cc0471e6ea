"""A server below a path of a proxy: every address that it sends begins with that path."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.errors import ConfigurationError
from tests.factories import claimed_run, published_run
from tests.unit.rest.factories import MATCHED, UNKNOWN, Client, act

ROOT = "/lab/dispatcher"
HTML = "text/html"
ADDRESS = re.compile(r'(?:href|src|action|data-output)="([^"]*)"')


@pytest.fixture(params=["stripped by the proxy", "left by the proxy", "mounted by the server"])
def below(request: pytest.FixtureRequest, context: rest.Context) -> Client:
    """A client of a server at a path, which arrives in each way."""
    if request.param == "mounted by the server":
        return Client(context, script_name=ROOT)
    client = Client(replace(context, root=ROOT))
    if request.param == "left by the proxy":
        send = client.request

        def request_below(method: str, target: str, *arguments: object, **headers: str) -> object:
            return send(method, f"{ROOT}{target}", *arguments, **headers)  # type: ignore[arg-type]

        client.request = request_below  # type: ignore[assignment,method-assign]
    return client


def addresses(page: str) -> Iterator[str]:
    """Yield the addresses on a page, without those that stay on it."""
    for each in ADDRESS.findall(page):
        if not each.startswith(("#", "data:")):
            yield each


def test_the_addresses_in_header_fields(below: Client) -> None:
    sent = below.send(type=MATCHED)
    uuid = sent.json["uuid"]
    assert sent.headers["location"] == f"{ROOT}/status/{uuid}"
    below.send(2, type=MATCHED)
    link = below.get("/events?limit=1").headers["link"]
    assert re.fullmatch(rf'<{ROOT}/events\?[^>]*>; rel="next"', link)
    cancelled = act(below, f"/events/{uuid}/cancel", accept=HTML)
    assert (cancelled.status, cancelled.headers["location"]) == (303, f"{ROOT}/events/{uuid}")
    dispatched = below.get("/dispatch/add/2/2")
    assert dispatched.headers["location"] == f"{ROOT}/status/{dispatched.text}"
    paused = act(below, "/applications/hello/pause", accept=HTML)
    assert (paused.status, paused.headers["location"]) == (303, f"{ROOT}/applications")


def test_every_link_and_form_of_every_page(below: Client, database: orm.Database) -> None:
    event = below.send("first", type=MATCHED).json["uuid"]
    failed = published_run(database, orm.State.FAILED, "hello")
    run = claimed_run(database).run
    targets = [
        *("/", "/?limit=1", "/?state=none", "/applications", "/workers", "/nowhere"),
        *(f"/events/{event}", f"/edit?event={event}", f"/events/{UNKNOWN}"),
        *(f"/runs/{run}", f"/runs/{failed}"),
        *(f"/together?action=replay&event={event}", "/together?action=cancel"),
    ]
    for target in targets:
        page = below.get(target, accept=HTML).body.decode()
        found = list(addresses(page))
        assert found, target
        assert [each for each in found if not each.startswith(f"{ROOT}/")] == [], target
        assert f"{ROOT}{ROOT}" not in page, target
    shown = below.get(f"/events/{event}", accept=HTML).body.decode()
    assert f"http://127.0.0.1{ROOT}/receive" in shown


def test_every_link_of_a_live_page(below: Client, context: rest.Context) -> None:
    uuid = below.send(type=MATCHED).json["uuid"]
    context.slots.stop()  # so that the response ends
    response = below.get("/", accept="text/event-stream")
    [data] = re.findall(r"^data: (.*)$", response.body.decode(), re.MULTILINE)
    found = list(addresses(json.loads(data)))
    assert f"{ROOT}/events/{uuid}" in found
    assert all(each.startswith(f"{ROOT}/") for each in found)


def test_viewers_of_different_roots_do_not_share_a_live_page(context: rest.Context) -> None:
    context.slots.stop()
    for root in ("/one", "/two"):
        shown = Client(context, script_name=root).get("/", accept="text/event-stream")
        assert f"{root}/receive" in shown.body.decode()


def test_without_a_root_the_addresses_are_absolute_paths(client: Client) -> None:
    sent = client.send(type=MATCHED)
    assert sent.headers["location"] == f"/status/{sent.json['uuid']}"


@pytest.mark.parametrize("root", ["//evil.example", "/evil.example//", "//evil.example/%2F/"])
def test_a_root_never_becomes_another_host(context: rest.Context, root: str) -> None:
    location = Client(context, script_name=root).send(type=MATCHED).headers["location"]
    assert location.startswith("/evil.example/")


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "//evil.example/..", "///applications//hello//pause", "//evil.example/%2F"],
)
def test_no_path_leads_to_another_host(client: Client, target: str) -> None:
    for method in ("GET", "POST"):
        response = client.request(method, target, None, accept=HTML)
        assert response.headers.get("location", "/applications") == "/applications"
        for each in addresses(response.body.decode()):
            assert not each.startswith("//")


@pytest.mark.parametrize("target", ["//receive", "/receive/", "///receive//"])
def test_empty_segments_are_ignored(client: Client, target: str) -> None:
    body = b'{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}'
    assert client.post(body, target).status == 202


@pytest.mark.parametrize("root", ["/events", "/static/x", "/health"])
def test_a_root_must_differ_from_the_addresses(context: rest.Context, root: str) -> None:
    with pytest.raises(ConfigurationError, match="is an address of the dispatcher itself"):
        rest.application(replace(context, root=root))


@pytest.mark.parametrize("root", ["", "/lab", "/lab/dispatcher"])
def test_the_limit_of_a_body_is_that_of_the_address(context: rest.Context, root: str) -> None:
    limit = rest.body_limit(replace(context, root=ROOT))
    path = f"{root}/edit".encode()
    head = rest.Head(b"POST", path, 1, path, b"", {}, 1, closes=False, waits=False)
    found = root in {"", ROOT}
    assert limit(head) == (3 if found else 1) * context.max_event_size
