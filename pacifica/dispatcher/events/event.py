"""The event: one CloudEvent as an immutable value, in the names of version 1.0."""

import base64
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pacifica.dispatcher.events import timestamps

Attribute: TypeAlias = str | int | bool
Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


class Absent(enum.Enum):
    """The type of ABSENT: `data: null` is a payload, no `data` is none."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent (CloudEvents 1.0.2).

    Attributes:
        attributes: the context attributes by their 1.0 names; unset ones are not there.
        data: the payload as a JSON value, as bytes when it was sent as `data_base64`, or ABSENT.
        sent: the JSON text of this event just as it was sent, whatever its version; of one that
            came in headers, its text in version 1.0. It reads as the same event.
    """

    attributes: Mapping[str, Attribute]
    data: Json | bytes | Absent
    sent: str

    @property
    def id(self) -> str:
        """The attribute `id`: with `source`, it names the event for good (section 3.1)."""
        return str(self.attributes["id"])

    @property
    def source(self) -> str:
        """The attribute `source`, a URI-reference."""
        return str(self.attributes["source"])

    @property
    def type(self) -> str:
        """The attribute `type`."""
        return str(self.attributes["type"])

    def expired(self, at: float) -> bool:
        """Whether its `expirytime`, an extension, had come at a moment (seconds since the epoch).

        What has expired is not to be processed (CloudEvents extension "Expiry Time").
        """
        expiry = self.attributes.get("expirytime")
        return isinstance(expiry, str) and timestamps.seconds(expiry) <= at

    def text(self, attribute: str) -> str | None:
        """The canonical string of an attribute, or None when the event lacks it."""
        value = self.attributes.get(attribute)
        return None if value is None else canonical(value)

    def structured(self) -> dict[str, Json]:
        """The event as a JSON object of version 1.0 (CloudEvents JSON format, section 3)."""
        document: dict[str, Json] = dict(self.attributes)
        if isinstance(self.data, bytes):
            document["data_base64"] = base64.b64encode(self.data).decode("ascii")
        elif self.data is not ABSENT:
            document["data"] = self.data
        return document

    def to_json(self) -> str:
        """The JSON text of `structured()`."""
        return json.dumps(self.structured(), allow_nan=False)


def canonical(value: Attribute) -> str:
    """The canonical string of an attribute value (CloudEvents 1.0.2, section 2.4)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
