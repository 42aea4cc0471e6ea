"""Preferences of a client: Accept (RFC 9110, section 12.5) and Prefer (RFC 7240)."""

import re
from typing import Final

_TEXT: Final = frozenset({"text/plain", "text/*"})
_OFFERED: Final = _TEXT | {"application/json", "application/*", "*/*"}
_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def prefers_text(accept: str) -> bool:
    """Return True if Accept puts plain text before JSON."""
    accept = accept.lower()
    if "text/" not in accept:
        return False
    accepted = [_weighted(each) for each in accept.split(",")]
    offered = [(weight, kind) for weight, kind in accepted if weight and kind in _OFFERED]
    return bool(offered) and max(offered)[1] in _TEXT


def prefers_html(accept: str) -> bool:
    """Return True if Accept puts HTML before JSON, as a browser does."""
    accept = accept.lower()
    if "text/html" not in accept:
        return False
    weights = {kind: weight for weight, kind in map(_weighted, accept.split(","))}
    wanted = weights.get("text/html", 0.0)
    return wanted > 0 and wanted >= weights.get("application/json", 0.0)


def prefers_event_stream(accept: str) -> bool:
    """Return True if Accept requests server-sent events, as an EventSource does."""
    return "text/event-stream" in accept


def wants_empty_reply(prefer: str) -> bool:
    """Return True if the sender would take a response body for an event, and must not get one."""
    # Knative sends `Prefer: reply`.
    return any(each.strip().lower() == "reply" for each in prefer.split(","))


def _weighted(accepted: str) -> tuple[float, str]:
    """Return the weight (RFC 9110, section 12.4.2) and the media type of one part of Accept."""
    kind, _, parameters = accepted.partition(";")
    weight = re.search(r"(?:^|;)\s*q=(\S*)", parameters)
    if weight is None:
        return 1.0, kind.strip()
    return float(weight[1]) if _WEIGHT.fullmatch(weight[1]) else 0.0, kind.strip()
