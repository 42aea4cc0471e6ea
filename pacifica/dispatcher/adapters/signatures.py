"""Authentication of deliveries; secrets are compared in constant time."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from pacifica.dispatcher.adapters.headers import Headers, header_key
from pacifica.dispatcher.errors import SignatureError

TOLERANCE: Final = 300
"""Maximum age in seconds of a signed timestamp (Stripe, Standard Webhooks)."""

_SIGNING_TOKEN: Final = "whsec_"  # noqa: S105 - the prefix of such tokens


class Scheme(Protocol):
    """An authentication scheme."""

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Authenticate a delivery.

        Args:
            headers: the request's headers by key.
            body: the exact bytes of the request's body.
            now: epoch seconds.

        Raises:
            SignatureError: the sender cannot be authenticated.
        """
        ...


@dataclass(frozen=True, slots=True)
class GitHub:
    """`X-Hub-Signature-256`: HMAC-SHA256 of the body, in hex.

    GitHub, "Validating webhook deliveries".
    """

    secret: str = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:  # noqa: ARG002
        """Require a body signed with the secret."""
        sent = _header(headers, "X-Hub-Signature-256")
        expected = f"sha256={_hmac(self.secret.encode(), body).hex()}"
        _require_match([sent], expected, "X-Hub-Signature-256")


@dataclass(frozen=True, slots=True)
class Token:
    """The secret itself in a header.

    Attributes:
        secret: the expected value, after the prefix.
        name: the header, such as `X-Gitlab-Token`, or `Authorization` as sent by MinIO.
        prefix: text before the secret, in any case.
    """

    secret: str = field(repr=False)
    name: str
    prefix: str = ""

    def verify(self, headers: Headers, body: bytes, now: float) -> None:  # noqa: ARG002
        """Require the secret."""
        sent, start = _header(headers, self.name), len(self.prefix)
        if sent[:start].lower() == self.prefix.lower():
            sent = f"{self.prefix}{sent[start:]}"
        _require_match([sent], f"{self.prefix}{self.secret}", self.name)


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`webhook-signature` (Standard Webhooks 1.0.0), used by GitLab with a signing token."""

    key: bytes = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Require a signature of the id, the time and the body, and a recent time."""
        delivery = _header(headers, "webhook-id")
        time = _header(headers, "webhook-timestamp")
        sent = _header(headers, "webhook-signature").split()
        signed = b".".join([*map(_bytes, (delivery, time)), body])
        expected = f"v1,{base64.b64encode(_hmac(self.key, signed)).decode()}"
        _require_match(sent, expected, "webhook-signature")
        _require_recent(time, now, "webhook-timestamp")


@dataclass(frozen=True, slots=True)
class Stripe:
    """`Stripe-Signature`: a time `t`, and at least one `v1`, HMAC-SHA256 of time and body in hex.

    Stripe, "Verify webhook signatures manually".
    """

    secret: str = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Require a signature of the time and the body, and a recent time."""
        parts = [each.strip() for each in _header(headers, "Stripe-Signature").split(",")]
        time = next((each[2:] for each in parts if each.startswith("t=")), "")
        sent = [each[3:] for each in parts if each.startswith("v1=")]
        expected = _hmac(self.secret.encode(), b".".join([_bytes(time), body])).hex()
        _require_match(sent, expected, "Stripe-Signature")
        _require_recent(time, now, "t in Stripe-Signature")


def gitlab_scheme(secret: str) -> Scheme:
    """Return the scheme for GitLab's signing token, `whsec_…`, or its older secret token.

    Raises:
        ValueError: the part after `whsec_` is not Base64.
    """
    if not secret.startswith(_SIGNING_TOKEN):
        return Token(secret, "X-Gitlab-Token")
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNING_TOKEN), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(
            f"is not a valid signing token; the part after {_SIGNING_TOKEN} must be Base64"
        )
    return StandardWebhooks(key)


def bearer_scheme(secret: str) -> Scheme:
    """Return the scheme for a bearer token (RFC 6750, section 2.1; RFC 9110, section 11.1)."""
    return Token(secret, "Authorization", "Bearer ")


def _header(headers: Headers, name: str) -> str:
    found = headers.get(header_key(name))
    if not found:
        raise SignatureError(f"Missing header {name}")
    return found


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _require_match(sent: Iterable[str], expected: str, name: str) -> None:
    if not any(hmac.compare_digest(_bytes(each), expected.encode()) for each in sent):
        raise SignatureError(f"{name} does not match the configured secret")


def _require_recent(time: str, now: float, name: str) -> None:
    if not re.fullmatch(r"\d{1,15}", time, re.ASCII) or abs(now - int(time)) > TOLERANCE:
        raise SignatureError(
            f"{name} must be within {TOLERANCE} seconds of the server's time, not {time[:40]!r}"
        )


def _bytes(text: str) -> bytes:
    # A header's value need not be UTF-8.
    return text.encode("utf-8", "surrogateescape")
