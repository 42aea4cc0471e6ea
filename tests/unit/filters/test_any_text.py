"""Whatever text comes, an expression or a query is read or refused in our own words."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.errors import RuleError
from pacifica.dispatcher.filters import JsonPath, Sql, parse_filters
from tests.unit.conftest import make_event

EVENT = make_event(7, type="a", count=5, data=[{"a": 1}])
SQL = r"""
    AND OR XOR NOT LIKE EXISTS IN TRUE false type count missing 1 -1 0 99999999999 '' 'a%' "_\%"
    ( ) , + - * / % = != <> < <= > >= ABS( LEFT( SUBSTRING( CONCAT_WS( INT( BOOL( LENGTH(
"""
PATH = """
    $ @ . .. [ ] ( ) ? * : , = == != < && || ! and or not "a" 'a' data eventType 0 -1 1.5 null
    length( value( match(
"""
JSON = """
    [ ] { } , : "exact" "all" "any" "not" "sql" "cesql" "jsonpath" "type" "" "TRUE" 1 null
"""


def pieces(vocabulary: str, between: str) -> st.SearchStrategy[str]:
    """Texts of these words."""
    return st.lists(st.sampled_from(vocabulary.split()), max_size=30).map(between.join)


@given(st.text() | pieces(SQL, " "))
def test_an_expression(text: str) -> None:
    with suppress(ValueError):
        found = Sql.parse(text)
        assert found.explain(EVENT).held is found.matches(EVENT)


@given(st.text() | pieces(PATH, "") | pieces(PATH, " "))
def test_a_query(text: str) -> None:
    with suppress(ValueError):
        found = JsonPath.parse(text)
        assert found.explain(EVENT).held is found.matches(EVENT)


@given(st.text() | pieces(JSON, ""))
def test_filters(text: str) -> None:
    with suppress(RuleError):
        for each in parse_filters(text):
            assert each.explain(EVENT).held is each.matches(EVENT)
