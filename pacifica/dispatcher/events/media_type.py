"""What a Content-Type says (RFC 9110, section 8.3)."""

import re

UTF8 = frozenset({None, "utf-8", "utf8", "us-ascii"})
"""The charsets that are UTF-8, no charset among them."""

_PARAMETER = re.compile(r';([^;="]*)(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^;]*)))?')
"""A parameter. Anything fits after its semicolon, so that nothing is looked at twice."""


def essence(content_type: str) -> str:
    """The media type without its parameters, in small letters."""
    return content_type.partition(";")[0].strip().lower()


def charset(content_type: str) -> str | None:
    """The parameter `charset` in small letters."""
    for name, quoted, token in _PARAMETER.findall(content_type):
        if name.strip().lower() == "charset":
            return str(re.sub(r"\\(.)", r"\1", quoted) or token.strip()).lower()
    return None


def is_json(content_type: str) -> bool:
    """Whether it is JSON: its subtype is `json` or ends with `+json` (JSON format, section 3.1)."""
    return essence(content_type).endswith(("/json", "+json"))


def is_text(content_type: str) -> bool:
    """Whether it is text."""
    return essence(content_type).startswith("text/")
