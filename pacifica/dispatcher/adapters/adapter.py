"""An adapter as an immutable value: the sender, its authentication, and its conversion."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pacifica.dispatcher.adapters import github, gitlab, s3, signatures, stripe
from pacifica.dispatcher.adapters.headers import headers_by_key
from pacifica.dispatcher.adapters.signatures import Scheme
from pacifica.dispatcher.adapters.templates import Templates
from pacifica.dispatcher.errors import TooMuchWorkError, UnsupportedFormatError
from pacifica.dispatcher.events import Event, Received, media_type, strict_json
from pacifica.dispatcher.rules import work

Converter: TypeAlias = Callable[[Event], Received]
"""A function from a delivery (see `Templates.build_event`) to its events."""

GENERIC: Final = "generic"
"""The kind of any other sender, for which the operator writes templates."""

KINDS: Final[Mapping[str, Callable[[str], Scheme]]] = {
    "github": signatures.GitHub,
    "gitlab": signatures.gitlab_scheme,
    "stripe": signatures.Stripe,
    "s3": signatures.bearer_scheme,
    GENERIC: signatures.bearer_scheme,
}
"""The kinds of sender, with the function that makes an authentication scheme from a secret."""

_CONVERTERS: Final[Mapping[str, Converter]] = {
    "github": github.convert_github_delivery,
    "gitlab": gitlab.convert_gitlab_delivery,
    "stripe": stripe.EVENT.convert,
    "s3": s3.convert_s3_notification,
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A configured adapter.

    Attributes:
        name: unique; used in the URL.
        kind: one of KINDS.
        scheme: the authentication of deliveries; None to accept any.
        convert: the function from a delivery to its events.
    """

    name: str
    kind: str
    scheme: Scheme | None
    convert: Converter

    def receive(
        self, content_type: str, body: bytes, headers: Iterable[tuple[str, str]], now: float
    ) -> Received:
        """Authenticate a request and convert it to events.

        Args:
            content_type: the Content-Type header, "" if there was none.
            body: the whole body.
            headers: all header fields, as WSGI passes them.
            now: epoch seconds.

        Raises:
            SignatureError: the sender cannot be authenticated.
            UnsupportedFormatError: the Content-Type is not JSON.
            EventError: the body is not JSON, or cannot be converted to a valid event.
            TooMuchWorkError: the templates take too long for this delivery.
        """
        keyed = headers_by_key(headers)
        if self.scheme is not None:
            self.scheme.verify(keyed, body, now)
        if not media_type.is_json(content_type):
            kind = media_type.essence(content_type)
            raise UnsupportedFormatError(
                f"Unsupported Content-Type {kind[:80]!r}; configure the sender to use "
                "application/json"
            )
        charset = media_type.charset(content_type)
        if charset not in media_type.UTF8:
            raise UnsupportedFormatError(
                f"Unsupported charset {str(charset)[:80]!r}; JSON is always UTF-8, so omit charset"
            )
        text = strict_json.decode_utf8(body)
        document = strict_json.loads(text, strict_json.MAX_DEPTH - 1)
        try:
            with work.limited():
                return self.convert(Event(keyed, document, text))
        except TooMuchWorkError as exc:
            raise TooMuchWorkError(
                f"The templates of adapter {self.name} take {exc}; nothing was stored. Send "
                "smaller deliveries, or simplify the templates"
            ) from exc


def make_adapter(
    name: str, kind: str, scheme: Scheme | None, templates: Templates | None
) -> Adapter:
    """Make an adapter; `templates` are given for the kind `generic` only."""
    convert = _CONVERTERS[kind] if templates is None else templates.convert
    return Adapter(name, kind, scheme, convert)
