"""Filters on events, by dialect (CloudEvents Subscriptions API 1.0, section 3.2.4). No I/O here."""

from pacifica.dispatcher.rules.comparison import (
    ATTRIBUTE_DIALECTS,
    Exact,
    Prefix,
    Suffix,
    make_comparison,
)
from pacifica.dispatcher.rules.composite import All, Any, Not
from pacifica.dispatcher.rules.contradictions import find_contradiction
from pacifica.dispatcher.rules.filter import Explanation, Filter, cheapest_first
from pacifica.dispatcher.rules.jsonpath import JsonPath
from pacifica.dispatcher.rules.parse import COMPOSITE_DIALECTS, TEXT_DIALECTS, parse_filters
from pacifica.dispatcher.rules.sql import Sql

__all__ = [
    "ATTRIBUTE_DIALECTS",
    "COMPOSITE_DIALECTS",
    "TEXT_DIALECTS",
    "All",
    "Any",
    "Exact",
    "Explanation",
    "Filter",
    "JsonPath",
    "Not",
    "Prefix",
    "Sql",
    "Suffix",
    "cheapest_first",
    "find_contradiction",
    "make_comparison",
    "parse_filters",
]
