"""Content-Type headers (RFC 9110, section 8.3)."""

import re
from collections.abc import Iterator

UTF8 = frozenset({None, "utf-8", "utf8", "us-ascii"})
"""The charset values that mean UTF-8; None stands for no charset parameter."""

# Anything matches after the semicolon, so that no character is scanned twice.
_PARAMETER = re.compile(r';([^;="]*)(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^;]*)))?')


def essence(content_type: str) -> str:
    """Return the media type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def charset(content_type: str) -> str | None:
    """Return the charset parameter in lower case, or None."""
    return next(
        (text.lower() for name, text in _parameters(content_type) if name == "charset"), None
    )


def normalized(content_type: str) -> str:
    """Return one spelling for all that mean the same; UTF-8 is left out."""
    kept = [
        f"{name}={text.lower() if name == 'charset' else text!r}"
        for name, text in _parameters(content_type)
        if name and not (name == "charset" and text.lower() in UTF8)
    ]
    return ";".join([essence(content_type), *sorted(kept)])


def is_json(content_type: str) -> bool:
    """Return True if the subtype is `json` or ends with `+json` (JSON format, section 3.1)."""
    return essence(content_type).endswith(("/json", "+json"))


def is_text(content_type: str) -> bool:
    """Return True for `text/…`."""
    return essence(content_type).startswith("text/")


def _parameters(content_type: str) -> Iterator[tuple[str, str]]:
    for name, quoted, token in _PARAMETER.findall(content_type):
        yield name.strip().lower(), re.sub(r"\\(.)", r"\1", quoted) or token.strip()
