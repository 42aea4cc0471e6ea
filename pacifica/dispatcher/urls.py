"""URLs: with secrets as they may be shown, and the pattern of their authority."""

import re
from typing import Final
from urllib.parse import unquote_plus

AUTHORITY: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?"
"""The pattern of a host with an optional port (RFC 3986, section 3.2), without user and comma."""

_SECRET: Final = re.compile(
    r"pass|pwd|secret|token|key|credential|auth|signature|^sig$|^pw$", re.IGNORECASE
)
"""What the name of a parameter contains if its value is secret, or names a file of secrets."""

_PARAMETER: Final = re.compile(r"(?<=[?&;#])([^=&;#]*)=([^&;#]*)")
_NEXT: Final = re.compile(r";(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")
"""What separates URLs of alternative brokers."""


def masked(url: str) -> str:
    """Return a URL, or several, with `***` for passwords and for parameters that look secret.

    Too much is masked rather than too little if the URL is malformed.
    """
    return ";".join(_masked(each) for each in _NEXT.split(url))


def _masked(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _PARAMETER.sub(_parameter, url)
    user_info, at, place = rest.rpartition("@")
    user, colon, _ = user_info.partition(":")
    shown = f"{user}:***" if colon else user_info
    return f"{scheme}://{_PARAMETER.sub(_parameter, f'{shown}{at}{place}')}"


def _parameter(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"{name}=***" if value and _SECRET.search(unquote_plus(name)) else found[0]
