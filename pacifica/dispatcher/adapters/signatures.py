"""How senders prove that a delivery is theirs; secrets are compared in constant time."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from pacifica.dispatcher.adapters.headers import Headers, key
from pacifica.dispatcher.errors import SignatureError

TOLERANCE: Final = 300
"""Seconds that a signed time may differ from ours (Stripe, Standard Webhooks)."""

_SIGNING_TOKEN: Final = "whsec_"  # noqa: S105 - what such tokens begin with


class Scheme(Protocol):
    """One way to prove it."""

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Let a delivery pass.

        Args:
            headers: the request's.
            body: the request's, byte by byte.
            now: seconds since the epoch.

        Raises:
            SignatureError: it does not prove that it is from the sender.
        """
        ...


@dataclass(frozen=True, slots=True)
class GitHub:
    """`X-Hub-Signature-256`: HMAC-SHA256 of the body, in hex.

    GitHub, "Validating webhook deliveries".
    """

    secret: str = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:  # noqa: ARG002
        """Let a delivery pass whose body is signed with the secret."""
        sent = _header(headers, "X-Hub-Signature-256")
        expected = f"sha256={_hmac(self.secret.encode(), body).hex()}"
        _one_of([sent], expected, "X-Hub-Signature-256")


@dataclass(frozen=True, slots=True)
class Token:
    """The secret itself stands in a header.

    Attributes:
        secret: what stands there, after the prefix.
        name: the header: `X-Gitlab-Token`, or `Authorization` of MinIO's webhook target.
        prefix: what stands before the secret, in letters of any case.
    """

    secret: str = field(repr=False)
    name: str
    prefix: str = ""

    def verify(self, headers: Headers, body: bytes, now: float) -> None:  # noqa: ARG002
        """Let a delivery pass that has the secret."""
        sent, start = _header(headers, self.name), len(self.prefix)
        if sent[:start].lower() == self.prefix.lower():
            sent = f"{self.prefix}{sent[start:]}"
        _one_of([sent], f"{self.prefix}{self.secret}", self.name)


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`webhook-signature` (Standard Webhooks 1.0.0), of which GitLab's signing token makes use."""

    key: bytes = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Let a delivery pass whose id, time and body are signed, if it was not long ago."""
        delivery = _header(headers, "webhook-id")
        time = _header(headers, "webhook-timestamp")
        sent = _header(headers, "webhook-signature").split()
        signed = b".".join([*map(_bytes, (delivery, time)), body])
        expected = f"v1,{base64.b64encode(_hmac(self.key, signed)).decode()}"
        _one_of(sent, expected, "webhook-signature")
        _recent(time, now, "webhook-timestamp")


@dataclass(frozen=True, slots=True)
class Stripe:
    """`Stripe-Signature`: a time `t`, and one or more `v1`, HMAC-SHA256 of time and body in hex.

    Stripe, "Verify webhook signatures manually".
    """

    secret: str = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Let a delivery pass whose time and body are signed, if it was not long ago."""
        parts = [each.strip() for each in _header(headers, "Stripe-Signature").split(",")]
        time = next((each[2:] for each in parts if each.startswith("t=")), "")
        sent = [each[3:] for each in parts if each.startswith("v1=")]
        expected = _hmac(self.secret.encode(), b".".join([_bytes(time), body])).hex()
        _one_of(sent, expected, "Stripe-Signature")
        _recent(time, now, "the time in Stripe-Signature")


def gitlab(secret: str) -> Scheme:
    """GitLab's signing token, which begins with `whsec_`, or its older secret token.

    Raises:
        ValueError: what follows is no Base64.
    """
    if not secret.startswith(_SIGNING_TOKEN):
        return Token(secret, "X-Gitlab-Token")
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNING_TOKEN), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(f"is no signing token: what follows {_SIGNING_TOKEN} must be Base64")
    return StandardWebhooks(key)


def bearer(secret: str) -> Scheme:
    """The secret as a bearer token (RFC 6750, section 2.1; RFC 9110, section 11.1)."""
    return Token(secret, "Authorization", "Bearer ")


def _header(headers: Headers, name: str) -> str:
    found = headers.get(key(name))
    if not found:
        raise SignatureError(f"the header {name} is missing")
    return found


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _one_of(sent: Iterable[str], expected: str, name: str) -> None:
    if not any(hmac.compare_digest(_bytes(each), expected.encode()) for each in sent):
        raise SignatureError(f"{name} does not fit the secret that is configured here")


def _recent(time: str, now: float, name: str) -> None:
    if not re.fullmatch(r"\d{1,15}", time, re.ASCII) or abs(now - int(time)) > TOLERANCE:
        raise SignatureError(f"{name} is not within {TOLERANCE} seconds of the time here")


def _bytes(text: str) -> bytes:
    """The bytes of a header's value, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")
