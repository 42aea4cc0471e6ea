"""The dialects exact, prefix and suffix."""

import pytest

from pacifica.dispatcher.filters import ATTRIBUTE_DIALECTS
from tests.unit.conftest import make_event

EVENT = make_event(
    7, source="http://example.org/Files", type="org.example", count=-5, flag=True, empty=""
)


@pytest.mark.parametrize(
    ("attribute", "value", "dialects"),
    [
        pytest.param("type", "org.example", "exact prefix suffix", id="all of it"),
        pytest.param("type", "org.", "prefix", id="its beginning"),
        pytest.param("type", ".example", "suffix", id="its end"),
        pytest.param("type", "rg.exampl", "", id="its middle"),
        pytest.param("type", "org.example.", "", id="more than it"),
        pytest.param("type", "ORG.EXAMPLE", "", id="another case"),
        pytest.param("type", "org.*", "", id="no pattern"),
        pytest.param("source", "http://example.org/", "prefix", id="an URL's beginning"),
        pytest.param("id", "7", "exact prefix suffix", id="one character"),
        pytest.param("specversion", "1.0", "exact prefix suffix", id="the version"),
        pytest.param("count", "-5", "exact prefix suffix", id="an integer"),
        pytest.param("count", "-", "prefix", id="an integer's sign"),
        pytest.param("flag", "true", "exact prefix suffix", id="a Boolean"),
        pytest.param("flag", "True", "", id="a Boolean in Python's words"),
        pytest.param("subject", "x", "", id="an attribute that is not there"),
        pytest.param("subject", "", "", id="nothing, of an attribute that is not there"),
        pytest.param("empty", "", "exact prefix suffix", id="nothing, of an empty attribute"),
        pytest.param("Type", "org.example", "", id="an attribute's name in another case"),
    ],
)
@pytest.mark.parametrize("dialect", ["exact", "prefix", "suffix"])
def test_which_events_pass(dialect: str, attribute: str, value: str, dialects: str) -> None:
    found = ATTRIBUTE_DIALECTS[dialect](attribute, value)
    assert found.matches(EVENT) == (dialect in dialects.split())
