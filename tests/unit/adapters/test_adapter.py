"""Adapters: authentication, then JSON, then events."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.adapters import GENERIC, KINDS, Templates, make_adapter
from pacifica.dispatcher.adapters.templates import parse_templates
from pacifica.dispatcher.errors import (
    DispatcherError,
    EventError,
    SignatureError,
    TooMuchWorkError,
    UnsupportedFormatError,
)
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.rules import work

NOW = 1_795_453_057.0
ANY = Templates(
    id=parse_templates("{data.id}"), source=parse_templates("/any"), type=parse_templates("t")
)
OPEN = make_adapter("any", GENERIC, None, ANY)
BEARER = make_adapter("any", GENERIC, KINDS[GENERIC]("secret"), ANY)
HEADERS = [("Content-Type", "application/json"), ("Authorization", "Bearer secret")]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=UTF-8", "application/x+json"]
)
def test_a_json_delivery_is_accepted(content_type: str) -> None:
    [event] = OPEN.receive(content_type, b'{"id": "\xc3\xa4"}', [], NOW).events
    assert event.id == "ä"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
def test_an_unsupported_content_type_is_rejected(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"application/json|charset"):
        OPEN.receive(content_type, b'{"id": "1"}', [], NOW)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Invalid JSON: Expecting value"),
        (b'{"id": ', "Invalid JSON"),
        (b'{"id": "\xff"}', "Invalid UTF-8"),
        (b'{"id": 1, "id": 2}', "duplicate member name"),
        (b'{"id": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "JSON is nested deeper|Invalid JSON"),
        (
            b'{"id": 1, "a": %b}' % (b"[" * 127 + b"]" * 127),
            "JSON is nested deeper than 127 levels",
        ),
    ],
)
def test_invalid_json_is_rejected(body: bytes, message: str) -> None:
    with pytest.raises(EventError, match=message):
        OPEN.receive("application/json", body, [], NOW)


def test_the_event_of_the_deepest_body_can_be_parsed() -> None:
    body = b'{"id": 1, "a": %b}' % (b"[" * 126 + b"]" * 126)
    [event] = OPEN.receive("application/json", body, [], NOW).events
    strict_json.loads(event.sent)


def test_authentication_comes_first() -> None:
    with pytest.raises(SignatureError):
        BEARER.receive("text/plain", b"\xff", [], NOW)
    [event] = BEARER.receive("application/json", b'{"id": 1}', HEADERS, NOW).events
    assert event.id == "1"


def test_a_form_from_github_is_rejected_with_the_remedy() -> None:
    body = b"payload=%7B%7D"
    signature = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    headers = [("X-Hub-Signature-256", f"sha256={signature}")]
    hub = make_adapter("hub", "github", KINDS["github"]("secret"), None)
    with pytest.raises(
        UnsupportedFormatError, match="configure the sender to use application/json"
    ):
        hub.receive("application/x-www-form-urlencoded", body, headers, NOW)


NAMES = ["X-GitHub-Event", "X-GitHub-Delivery", "Idempotency-Key", "Stripe-Signature", "webhook-id"]
BODIES = st.binary() | st.sampled_from(
    [b"{}", b"[]", b'{"Records": [{}]}', b'{"object_kind": "note"}', b'{"id": 1, "type": []}']
)


@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([None, "whsec_aGk="]),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.text(st.characters(max_codepoint=255), min_size=1))
    ),
    BODIES,
)
def test_any_request_raises_only_dispatcher_errors(
    kind: str, secret: str | None, headers: Iterable[tuple[str, str]], body: bytes
) -> None:
    scheme = None if secret is None else KINDS[kind](secret)
    made = make_adapter("a", kind, scheme, ANY if kind == GENERIC else None)
    try:
        made.receive("application/json", body, headers, NOW)
    except DispatcherError:
        return
    assert secret is None


@pytest.mark.parametrize("template", ["{data}" * 1000, "{data.long}" * 1000])
def test_templates_that_take_too_long_are_refused(template: str) -> None:
    templates = Templates(*map(parse_templates, ("1", "/weather", "t", template)))
    made = make_adapter("any", GENERIC, None, templates)
    body = json.dumps({"long": "x" * 200_000, "list": [1] * 100_000}).encode()
    began = time.thread_time()
    with pytest.raises(TooMuchWorkError, match="The templates of adapter any take"):
        made.receive("application/json", body, [], 0.0)
    assert time.thread_time() - began < work.SECONDS + 2
