"""Keys of header values."""

import pytest

from pacifica.dispatcher.adapters.headers import header_key, headers_by_key


@pytest.mark.parametrize(
    ("name", "found"),
    [("X-GitHub-Event", "xgithubevent"), ("webhook-id", "webhookid"), ("X_A.1", "xa1")],
)
def test_a_key_has_only_lower_case_letters_and_digits(name: str, found: str) -> None:
    assert header_key(name) == found


def test_same_named_fields_are_joined() -> None:
    assert headers_by_key([("X-A", "1"), ("Host", "h"), ("x-a", "2")]) == {
        "xa": "1, 2",
        "host": "h",
    }


@pytest.mark.parametrize(
    ("sent", "found"), [(b"\xc3\xa4", "ä"), (b"a\xff", "a\udcff"), (b"=?utf-8?q?a?=",) * 2]
)
def test_a_value_is_utf_8(sent: bytes, found: str | bytes) -> None:
    expected = found if isinstance(found, str) else found.decode()
    assert headers_by_key([("X-A", sent.decode("latin-1"))]) == {"xa": expected}
