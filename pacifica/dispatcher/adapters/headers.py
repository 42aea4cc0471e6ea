"""Header values by the letters and digits of their names, as placeholders name them."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Headers: TypeAlias = Mapping[str, str]
"""Values by `key` of their names."""


def by_key(fields: Iterable[tuple[str, str]]) -> Headers:
    """The header fields of a request, as WSGI gives them.

    Fields of one name are joined by commas (RFC 9110, section 5.3). Bytes that are not UTF-8 become
    lone surrogates, which no attribute may have.
    """
    found: dict[str, str] = {}
    for name, text in fields:
        value = text.encode("latin-1").decode("utf-8", "surrogateescape")
        found[key(name)] = f"{found[key(name)]}, {value}" if key(name) in found else value
    return found


def key(name: str) -> str:
    """The letters and digits of a header's name, in lower case: a placeholder has no others."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
