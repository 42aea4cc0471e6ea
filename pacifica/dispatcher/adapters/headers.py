"""Header values, keyed by names that placeholders can use."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Headers: TypeAlias = Mapping[str, str]
"""Header values by `header_key`."""


def headers_by_key(fields: Iterable[tuple[str, str]]) -> Headers:
    """Index the header fields of a WSGI request by `header_key`.

    Same-named fields are joined by commas (RFC 9110, section 5.3). Bytes that are not UTF-8 become
    lone surrogates, which attributes cannot contain.
    """
    found: dict[str, str] = {}
    for name, text in fields:
        value = text.encode("latin-1").decode("utf-8", "surrogateescape")
        key = header_key(name)
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def header_key(name: str) -> str:
    """Reduce a header's name to lower-case letters and digits, as in placeholders."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
