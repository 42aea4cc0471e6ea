"""The media types of requests and responses."""

from typing import Final

JSON: Final = "application/json"
TEXT: Final = "text/plain"
HTML: Final = "text/html"
EVENT_STREAM: Final = "text/event-stream"
EVENT: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
BINARY: Final = "*/*"
FILE: Final = "application/octet-stream"
FORM: Final = "application/x-www-form-urlencoded"
