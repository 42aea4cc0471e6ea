"""Adapters: CloudEvents from what senders deliver that do not speak it. Pure."""

from pacifica.dispatcher.adapters.adapter import GENERIC, KINDS, Adapter, adapter
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
    "adapter",
]
