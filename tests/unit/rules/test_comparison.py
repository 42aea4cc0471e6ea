"""The dialects exact, prefix and suffix."""

import pytest

from pacifica.dispatcher.rules import ATTRIBUTE_DIALECTS
from tests.factories import make_event

EVENT = make_event(
    7, source="http://example.org/Files", type="org.example", count=-5, flag=True, empty=""
)


@pytest.mark.parametrize(
    ("attribute", "value", "dialects"),
    [
        pytest.param("type", "org.example", "exact prefix suffix", id="the whole value"),
        pytest.param("type", "org.", "prefix", id="its prefix"),
        pytest.param("type", ".example", "suffix", id="its suffix"),
        pytest.param("type", "rg.exampl", "", id="its middle"),
        pytest.param("type", "org.example.", "", id="a longer value"),
        pytest.param("type", "ORG.EXAMPLE", "", id="another case"),
        pytest.param("type", "org.*", "", id="not a pattern"),
        pytest.param("source", "http://example.org/", "prefix", id="the prefix of a URL"),
        pytest.param("id", "7", "exact prefix suffix", id="one character"),
        pytest.param("specversion", "1.0", "exact prefix suffix", id="the version"),
        pytest.param("count", "-5", "exact prefix suffix", id="an integer"),
        pytest.param("count", "-", "prefix", id="an integer's sign"),
        pytest.param("flag", "true", "exact prefix suffix", id="a Boolean"),
        pytest.param("flag", "True", "", id="a Boolean as in Python"),
        pytest.param("subject", "x", "", id="a missing attribute"),
        pytest.param("subject", "", "", id="empty, for a missing attribute"),
        pytest.param("empty", "", "exact prefix suffix", id="empty, for an empty attribute"),
        pytest.param("Type", "org.example", "", id="an attribute's name in another case"),
    ],
)
@pytest.mark.parametrize("dialect", ["exact", "prefix", "suffix"])
def test_matching_events(dialect: str, attribute: str, value: str, dialects: str) -> None:
    found = ATTRIBUTE_DIALECTS[dialect](attribute, value)
    assert found.matches(EVENT) == (dialect in dialects.split())
