"""Predicates on an event, by dialect (CloudEvents Subscriptions API 1.0, section 3.2.4). Pure."""

from pacifica.dispatcher.filters.attributes import (
    ATTRIBUTE_DIALECTS,
    Exact,
    Prefix,
    Suffix,
    attribute_filter,
)
from pacifica.dispatcher.filters.composite import All, Any, Not
from pacifica.dispatcher.filters.contradictions import contradiction
from pacifica.dispatcher.filters.dialects import COMPOSITE_DIALECTS, TEXT_DIALECTS, parse_filters
from pacifica.dispatcher.filters.filter import Explanation, Filter, cheapest_first
from pacifica.dispatcher.filters.json_path import JsonPath
from pacifica.dispatcher.filters.sql import Sql

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
    "attribute_filter",
    "cheapest_first",
    "contradiction",
    "parse_filters",
]
