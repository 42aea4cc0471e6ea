"""Header values by the letters and digits of their names."""

import pytest

from pacifica.dispatcher.adapters.headers import by_key, key


@pytest.mark.parametrize(
    ("name", "found"),
    [("X-GitHub-Event", "xgithubevent"), ("webhook-id", "webhookid"), ("X_A.1", "xa1")],
)
def test_a_name_keeps_its_letters_and_digits(name: str, found: str) -> None:
    assert key(name) == found


def test_fields_of_one_name_are_joined() -> None:
    assert by_key([("X-A", "1"), ("Host", "h"), ("x-a", "2")]) == {"xa": "1, 2", "host": "h"}


@pytest.mark.parametrize(
    ("sent", "found"), [(b"\xc3\xa4", "ä"), (b"a\xff", "a\udcff"), (b"=?utf-8?q?a?=",) * 2]
)
def test_a_value_is_utf_8(sent: bytes, found: str | bytes) -> None:
    expected = found if isinstance(found, str) else found.decode()
    assert by_key([("X-A", sent.decode("latin-1"))]) == {"xa": expected}
