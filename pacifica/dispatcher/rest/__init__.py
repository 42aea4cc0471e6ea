"""CherryPy resources: HTTP in, JSON out; an error becomes its status in one table."""

from pacifica.dispatcher.rest.mount import RESOURCES, application
from pacifica.dispatcher.rest.openapi import DOCUMENT
from pacifica.dispatcher.rest.service import Service
from pacifica.dispatcher.rest.streams import Streams
from pacifica.dispatcher.rest.webhook import Webhook
from pacifica.dispatcher.rest.wire import Connection, Pool

__all__ = [
    "DOCUMENT",
    "RESOURCES",
    "Connection",
    "Pool",
    "Service",
    "Streams",
    "Webhook",
    "application",
]
