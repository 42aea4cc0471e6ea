"""Adapters: CloudEvents from deliveries of senders that do not send CloudEvents. No I/O here."""

from pacifica.dispatcher.adapters.adapter import GENERIC, KINDS, Adapter, make_adapter
from pacifica.dispatcher.adapters.signatures import Scheme
from pacifica.dispatcher.adapters.templates import ATTRIBUTES, NEEDED, Template, Templates

__all__ = [
    "ATTRIBUTES",
    "GENERIC",
    "KINDS",
    "NEEDED",
    "Adapter",
    "Scheme",
    "Template",
    "Templates",
    "make_adapter",
]
