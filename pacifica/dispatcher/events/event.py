"""One CloudEvent as an immutable value with the attribute names of version 1.0."""

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
    """The type of ABSENT, which tells an event without `data` from one with `data: null`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent (CloudEvents 1.0.2).

    Attributes:
        attributes: the context attributes by their 1.0 names; unset ones are left out.
        data: the payload as a JSON value, as bytes if it was sent as `data_base64`, or ABSENT.
        sent: the JSON text of this event exactly as sent, in any version; for an event sent in
            binary mode, its text in version 1.0. Parsing it yields the same event.
    """

    attributes: Mapping[str, Attribute]
    data: Json | bytes | Absent
    sent: str

    @property
    def id(self) -> str:
        """The attribute `id`; `source` and `id` together identify the event (section 3.1)."""
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
        """Return True if the `expirytime` extension has passed at this time (epoch seconds).

        An expired event must not be processed (CloudEvents extension "Expiry Time").
        """
        expiry = self.attributes.get("expirytime")
        return isinstance(expiry, str) and timestamps.epoch_seconds(expiry) <= at

    def text(self, attribute: str) -> str | None:
        """Return the canonical string of an attribute, or None if the event lacks it."""
        value = self.attributes.get(attribute)
        return None if value is None else canonical(value)

    def structured(self) -> dict[str, Json]:
        """Return the event as a JSON object of version 1.0 (JSON format, section 3)."""
        document: dict[str, Json] = dict(self.attributes)
        if isinstance(self.data, bytes):
            document["data_base64"] = base64.b64encode(self.data).decode("ascii")
        elif self.data is not ABSENT:
            document["data"] = self.data
        return document

    def to_json(self) -> str:
        """Return the JSON text of `structured()`."""
        return json.dumps(self.structured(), allow_nan=False)


def canonical(value: Attribute) -> str:
    """Return the canonical string of an attribute value (CloudEvents 1.0.2, section 2.4)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
