"""RFC 3339 timestamps."""

import pytest

from pacifica.dispatcher.events.timestamps import (
    epoch_seconds,
    is_timestamp,
    mark_unknown_zone,
    to_rfc3339,
)


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2016-12-31t23:59:60.999z",
        "2017-01-01T00:59:60+01:00",
        "2016-12-31T15:59:60-08:00",
        "2015-06-30T23:59:60Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
    ],
)
def test_a_valid_timestamp(text: str) -> None:
    assert is_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2016-12-31T12:00:60Z", id="a leap second at noon"),
        pytest.param("2016-12-30T23:59:60Z", id="a leap second on another day"),
        pytest.param("2016-12-31T23:59:60+01:00", id="a leap second by the local clock"),
        pytest.param("9999-12-31T23:59:60-01:00", id="a leap second after the last year"),
        pytest.param("2016-02-30T23:59:60Z", id="a leap second on an invalid date"),
    ],
)
def test_an_invalid_timestamp(text: str) -> None:
    assert not is_timestamp(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:01.5+01:00", 1.5),
        ("1969-12-31T23:59:59-00:00", -1),
        ("2016-12-31T23:59:60Z", 1483228799),
    ],
)
def test_epoch_seconds(text: str, moment: float) -> None:
    assert epoch_seconds(text) == moment


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("2026-11-23T16:57:37", "2026-11-23T16:57:37-00:00"),
        ("2026-11-23T16:57:37.5", "2026-11-23T16:57:37.5-00:00"),
        ("2026-11-23T16:57:37Z", "2026-11-23T16:57:37Z"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_missing_zone_is_marked_as_unknown(text: str, marked: str) -> None:
    assert mark_unknown_zone(text) == marked


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1795453057", "2026-11-23T16:57:37Z"),
        ("2026-11-23 16:57:37 UTC", "2026-11-23T16:57:37Z"),
        ("2026-11-23 16:57:37.5 +0100", "2026-11-23T16:57:37.5+01:00"),
        ("2026-11-23 16:57:37 -05:30", "2026-11-23T16:57:37-05:30"),
    ],
)
def test_other_timestamps_are_converted(text: str, timestamp: str) -> None:
    assert to_rfc3339(text) == timestamp
    assert is_timestamp(timestamp)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-23T16:57:37Z", "yesterday", "", "-1", "1.5", "1795453057123"),
        *("\u0661", "2026-11-23 16:57:37", "2026-11-23 16:57:37 CET"),
    ],
)
def test_any_other_text_is_unchanged(text: str) -> None:
    assert to_rfc3339(text) == text
