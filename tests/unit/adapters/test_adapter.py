"""An adapter: a proof, then a body in JSON, then events."""

import hashlib
import hmac
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.adapters import GENERIC, KINDS, Templates, adapter
from pacifica.dispatcher.adapters.templates import templates
from pacifica.dispatcher.errors import (
    DispatcherError,
    EventError,
    SignatureError,
    UnsupportedFormatError,
)
from pacifica.dispatcher.events import strict_json

NOW = 1_795_453_057.0
ANY = Templates(id=templates("{data.id}"), source=templates("/any"), type=templates("t"))
OPEN = adapter("any", GENERIC, None, ANY)
BEARER = adapter("any", GENERIC, KINDS[GENERIC]("hush"), ANY)
HEADERS = [("Content-Type", "application/json"), ("Authorization", "Bearer hush")]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=UTF-8", "application/x+json"]
)
def test_a_delivery_is_json(content_type: str) -> None:
    [event] = OPEN.receive(content_type, b'{"id": "\xc3\xa4"}', [], NOW).events
    assert event.id == "ä"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
def test_what_says_that_it_is_no_json_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"application/json|charset"):
        OPEN.receive(content_type, b'{"id": "1"}', [], NOW)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it is not JSON: Expecting value"),
        (b'{"id": ', "it is not JSON"),
        (b'{"id": "\xff"}', "it is not UTF-8"),
        (b'{"id": 1, "id": 2}', "stands twice"),
        (b'{"id": NaN}', "NaN is no JSON number"),
        (b"[" * 100_000, "it is nested deeper|it is not JSON"),
        (b'{"id": 1, "a": %b}' % (b"[" * 127 + b"]" * 127), "it is nested deeper than 127 levels"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(EventError, match=message):
        OPEN.receive("application/json", body, [], NOW)


def test_the_deepest_body_that_is_taken_makes_an_event_that_can_be_read_again() -> None:
    body = b'{"id": 1, "a": %b}' % (b"[" * 126 + b"]" * 126)
    [event] = OPEN.receive("application/json", body, [], NOW).events
    strict_json.loads(event.sent)


def test_the_proof_is_asked_for_before_anything_is_read() -> None:
    with pytest.raises(SignatureError):
        BEARER.receive("text/plain", b"\xff", [], NOW)
    [event] = BEARER.receive("application/json", b'{"id": 1}', HEADERS, NOW).events
    assert event.id == "1"


def test_github_signs_a_form_too_which_is_refused_with_what_to_set() -> None:
    body = b"payload=%7B%7D"
    signature = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    headers = [("X-Hub-Signature-256", f"sha256={signature}")]
    hub = adapter("hub", "github", KINDS["github"]("hush"), None)
    with pytest.raises(UnsupportedFormatError, match="must be application/json"):
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
def test_of_any_request_only_our_errors_come_out(
    kind: str, secret: str | None, headers: Iterable[tuple[str, str]], body: bytes
) -> None:
    scheme = None if secret is None else KINDS[kind](secret)
    made = adapter("a", kind, scheme, ANY if kind == GENERIC else None)
    try:
        made.receive("application/json", body, headers, NOW)
    except DispatcherError:
        return
    assert secret is None
