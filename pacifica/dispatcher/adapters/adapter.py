"""An adapter as a value: who sends, how a delivery is proved, and which events it brings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pacifica.dispatcher.adapters import github, gitlab, s3, signatures, stripe
from pacifica.dispatcher.adapters.headers import by_key
from pacifica.dispatcher.adapters.signatures import Scheme
from pacifica.dispatcher.adapters.templates import Templates
from pacifica.dispatcher.errors import UnsupportedFormatError
from pacifica.dispatcher.events import Event, Received, media_type, strict_json

Reader: TypeAlias = Callable[[Event], Received]
"""From a delivery, as `Templates.event` takes it, to the events that it brings."""

GENERIC: Final = "generic"
"""The kind of any other sender, for whom an operator writes templates."""

KINDS: Final[Mapping[str, Callable[[str], Scheme]]] = {
    "github": signatures.GitHub,
    "gitlab": signatures.gitlab,
    "stripe": signatures.Stripe,
    "s3": signatures.bearer,
    GENERIC: signatures.bearer,
}
"""What an operator calls the senders, and what makes of a secret the proof of a delivery."""

_READERS: Final[Mapping[str, Reader]] = {
    "github": github.read,
    "gitlab": gitlab.read,
    "stripe": stripe.EVENT.read,
    "s3": s3.read,
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an operator configured under one name.

    Attributes:
        name: unique; it stands in the URL.
        kind: one of KINDS.
        scheme: what proves a delivery; None when the operator wants no proof.
        read: gives the events of a delivery.
    """

    name: str
    kind: str
    scheme: Scheme | None
    read: Reader

    def receive(
        self, content_type: str, body: bytes, headers: Iterable[tuple[str, str]], now: float
    ) -> Received:
        """Read the events of a request.

        Args:
            content_type: the Content-Type header, "" when there was none.
            body: the whole body.
            headers: all header fields, as WSGI gives them.
            now: seconds since the epoch.

        Raises:
            SignatureError: it does not prove that it is from the sender.
            UnsupportedFormatError: the body is said to be no JSON.
            EventError: the body is no JSON, or no valid event can be made of it.
        """
        known = by_key(headers)
        if self.scheme is not None:
            self.scheme.verify(known, body, now)
        if not media_type.is_json(content_type):
            raise UnsupportedFormatError(
                "let the sender send JSON: its Content-Type must be application/json"
            )
        if media_type.charset(content_type) not in media_type.UTF8:
            raise UnsupportedFormatError("JSON is UTF-8: leave charset out")
        text = strict_json.decode(body)
        delivered = Event(known, strict_json.loads(text, strict_json.MAX_DEPTH - 1), text)
        return self.read(delivered)


def adapter(name: str, kind: str, scheme: Scheme | None, templates: Templates | None) -> Adapter:
    """Make an adapter.

    Args:
        name: its name.
        kind: one of KINDS.
        scheme: what proves a delivery; None when no proof is wanted.
        templates: what the attributes are made of, for the kind `generic`, and only for that.
    """
    return Adapter(name, kind, scheme, _READERS[kind] if templates is None else templates.read)
