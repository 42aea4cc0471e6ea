"""Any text is parsed or rejected with a plain ValueError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.errors import RuleError
from pacifica.dispatcher.rules import JsonPath, Sql, parse_filters
from tests.factories import make_event

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


def texts_of(vocabulary: str, separator: str) -> st.SearchStrategy[str]:
    """Generate texts made of these words."""
    return st.lists(st.sampled_from(vocabulary.split()), max_size=30).map(separator.join)


@given(st.text() | texts_of(SQL, " "))
def test_any_expression_is_parsed_or_rejected(text: str) -> None:
    with suppress(ValueError):
        found = Sql.parse(text)
        assert found.explain(EVENT).held is found.matches(EVENT)


@given(st.text() | texts_of(PATH, "") | texts_of(PATH, " "))
def test_any_query_is_parsed_or_rejected(text: str) -> None:
    with suppress(ValueError):
        found = JsonPath.parse(text)
        assert found.explain(EVENT).held is found.matches(EVENT)


@given(st.text() | texts_of(JSON, ""))
def test_any_filters_are_parsed_or_rejected(text: str) -> None:
    with suppress(RuleError):
        for each in parse_filters(text):
            assert each.explain(EVENT).held is each.matches(EVENT)
