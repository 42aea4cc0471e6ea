"""The sections with fixed names: their keys and parsers."""

import re
import shlex
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pacifica.dispatcher.config.values import (
    Keys,
    parse_boolean,
    parse_duration,
    parse_name,
    parse_path,
    parse_positive_duration,
    parse_words,
    reject_nul,
    require_text,
    size_parser,
    whole_number_parser,
)

_MIN_LEASE = 5
_MAX_LEASE = 600
_MAX_ROOT = 200  # characters
_DATABASES = frozenset({"sqlite", "postgres", "postgresql", "psycopg3", "mysql"})
_BROKERS = ("amqp", "amqps", "pyamqp", "redis", "rediss", "redis+socket", "filesystem")
_parse_requests_per_minute = whole_number_parser(1, 999_999_999)


def parse_peewee_url(text: str) -> str:
    """Parse a database URL; accept sqliteext as sqlite."""
    scheme, separator, rest = reject_nul(text).partition("://")
    scheme = scheme.lower()
    if scheme == "sqliteext":
        scheme = "sqlite"
    if not separator or scheme.removesuffix("+pool") not in _DATABASES:
        known = ", ".join(sorted(_DATABASES))
        raise ValueError(
            f"must be a URL such as sqlite:///db.sqlite3; supported schemes are {known}"
        )
    return _check_url(f"{scheme}://{rest}")


def parse_broker_url(text: str) -> str:
    """Parse a broker URL."""
    scheme = text.partition("://")[0].lower()
    if scheme == "sentinel":
        raise ValueError(
            "must name the Redis server itself: Sentinel is not supported; use an address that "
            "follows the master, such as that of a proxy"
        )
    if "://" not in text or scheme not in _BROKERS:
        raise ValueError(
            f"must be a URL such as redis://host; supported schemes are {', '.join(_BROKERS)}"
        )
    if scheme == "filesystem" and not urlsplit(_check_url(text)).path.strip("/"):
        raise ValueError("must name a directory, such as filesystem:///directory")
    if re.search(r"[?&]ssl", text):
        raise ValueError("must not contain options for TLS; use ca_bundle and verify instead")
    if re.search(r"[?&](userid|password)=", text):
        raise ValueError("must have user and password before its host: scheme://user:password@host")
    return _check_url(text)


def _parse_ca_bundle(text: str) -> Path:
    file = parse_path(text)
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as exc:  # SSLError is an OSError
        raise ValueError(f"is not a file of certificates in PEM format: {exc}") from None
    return file


def _check_url(text: str) -> str:
    try:
        urlsplit(text).port  # noqa: B018 - the property parses the port
    except ValueError:
        raise ValueError("is not a valid URL: invalid host or port") from None
    return text


def _parse_root(text: str) -> str:
    if text == "/":
        return ""
    if len(text) > _MAX_ROOT or not re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+/?", text):
        raise ValueError(f"must be a path such as /dispatcher, not {text[:100]!r}")
    return text.rstrip("/")


def _parse_lease(text: str) -> float:
    seconds = parse_duration(text)
    if not _MIN_LEASE <= seconds <= _MAX_LEASE:
        raise ValueError(f"must be from {_MIN_LEASE}s to {_MAX_LEASE // 60}m, not {text[:100]!r}")
    return seconds


def _parse_program(text: str) -> tuple[str, ...]:
    require_text(reject_nul(text))
    try:
        return tuple(shlex.split(text))
    except ValueError as exc:
        raise ValueError(f"must be a program with its arguments: {exc}".rstrip(".")) from None


def _parse_origins(text: str) -> frozenset[str]:
    origins = parse_words(text)
    if not all(re.fullmatch(r"[!-~]{1,255}", each) for each in origins):
        raise ValueError("must be names such as eventgrid.azure.net, or * for all senders")
    return origins


def _parse_callback_hosts(text: str) -> frozenset[str]:
    hosts = frozenset(each.lower().removesuffix(":443") for each in parse_words(text))
    if not all(re.fullmatch(r"[a-z0-9_.-]{1,255}(:[1-9]\d{0,4})?", each) for each in hosts):
        raise ValueError("must be hosts such as example.org or example.org:8443")
    return hosts


def _parse_delivery_rate(text: str) -> str:
    return text if text == "*" else str(_parse_requests_per_minute(text))


SECTIONS: Mapping[str, Keys] = {
    "database": {
        "peewee_url": parse_peewee_url,
        "connect_attempts": whole_number_parser(1, 1_000_000),
        "connect_wait": parse_duration,
    },
    "celery": {
        "broker_url": parse_broker_url,
        "queue": parse_name,
        "ca_bundle": _parse_ca_bundle,
        "verify": parse_boolean,
    },
    "server": {
        "address": require_text,
        "port": whole_number_parser(1, 65535),
        "threads": whole_number_parser(1, 1000),
        "streams": whole_number_parser(0, 1000),
        "max_event_size": size_parser(64 * 1024, " (CloudEvents 1.0.2, section 5)"),
        "head_timeout": parse_positive_duration,
        "min_rate": whole_number_parser(1, 1024**3),
        "keep_alive": parse_duration,
        "connections_per_address": whole_number_parser(0, 1_000_000),
        "path": _parse_root,
    },
    "worker": {
        "directory": parse_path,
        "stop_grace": parse_duration,
        "lease": _parse_lease,
        "kill_helper": _parse_program,
    },
    "webhook": {
        "allowed_origins": _parse_origins,
        "rate": _parse_delivery_rate,
        "callback_hosts": _parse_callback_hosts,
    },
}
"""The parser of each key of each section."""
