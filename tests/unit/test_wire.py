"""Header fields as the web server reads them."""

import io

import pytest

from pacifica.dispatcher.rest.wire import HeaderReader


def read(*lines: str) -> dict[bytes, bytes]:
    """What is read of these lines."""
    text = "".join(f"{line}\r\n" for line in (*lines, ""))
    return HeaderReader()(io.BytesIO(text.encode("latin-1")), {})


def test_fields_of_one_name_are_joined() -> None:
    found = read("Prefer: respond-async", "Accept: a/b", "prefer: reply", "accept: c/d", "ce-id: 1")
    assert found == {
        b"Prefer": b"respond-async, reply",
        b"Accept": b"a/b, c/d",
        b"Ce-Id": b"1",
    }


@pytest.mark.parametrize("second", ["ce-id: 2", "CE-ID: 2", " 2"])
def test_an_attribute_that_is_there_twice_can_be_told(second: str) -> None:
    assert read("ce-id: 1", second) == {b"Ce-Id": b"1\n2"}


def test_a_second_line_of_any_other_field_is_kept() -> None:
    assert read("X-Note: 1", "\t2") == {b"X-Note": b"1, 2"}


def test_an_underscore_is_no_hyphen() -> None:
    assert read("ce-id: 1", "ce_id: 2", "X_Hub_Signature_256: 3") == {b"Ce-Id": b"1"}


def test_two_lengths_are_no_number() -> None:
    assert read("Content-Length: 1", "Content-Length: 2") == {b"Content-Length": b"1, 2"}
