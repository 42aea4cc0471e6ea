"""The sections [adapter:NAME]."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pacifica.dispatcher.adapters import (
    ATTRIBUTES,
    GENERIC,
    KINDS,
    NEEDED,
    Adapter,
    Scheme,
    Template,
    Templates,
    make_adapter,
)
from pacifica.dispatcher.config.reader import Reader
from pacifica.dispatcher.config.values import Keys, parse_name, parse_path, require_text

PREFIX: Final = "adapter:"

# The value of `secret` for an adapter that accepts deliveries from anyone.
_NO_SECRET: Final = "none"  # noqa: S105 - not a secret


def read_adapters(reader: Reader, home: Path) -> Iterator[Adapter]:
    """Yield the adapter of every usable section.

    Args:
        reader: the configuration file; records problems.
        home: the directory that relative paths of secret files refer to.
    """
    for section in reader.sections(PREFIX):
        adapter = _read_adapter(reader, section, home)
        if adapter is not None:
            yield adapter


def _read_adapter(reader: Reader, section: str, home: Path) -> Adapter | None:
    items = reader.items(section)
    where = reader.where(section)
    name = reader.parse(parse_name, section.removeprefix(PREFIX), where, "")
    found = reader.values(section, items, ADAPTER_KEYS)
    if "kind" not in items:
        reader.add_problem(where, f"must have a kind, one of {', '.join(KINDS)}")
    if "kind" not in found:
        return None
    kind = found["kind"]
    scheme = _read_scheme(reader, section, items, found, home)
    templates = _read_templates(reader, section, items, found)
    if kind == GENERIC and templates is None:
        return None
    return make_adapter(name, kind, scheme, templates)


def _read_scheme(
    reader: Reader, section: str, items: Mapping[str, str], found: Mapping[str, Any], home: Path
) -> Scheme | None:
    given = [key for key in ("secret", "secret_file") if key in items]
    if len(given) != 1:
        what = "must have either a secret or a secret_file, not both"
        remedy = "use secret = none to accept unauthenticated deliveries"
        reader.add_problem(reader.where(section), f"{what}; {remedy}")
        return None
    [key] = given
    if key not in found or found[key] == _NO_SECRET:
        return None
    where = reader.where(section, key)
    secret = found[key]
    if key == "secret_file":
        secret = reader.parse(_read_secret_file, str(home / secret), where, "")
    return reader.parse(KINDS[found["kind"]], secret, where, None) if secret else None


def _read_templates(
    reader: Reader, section: str, items: Mapping[str, str], found: Mapping[str, Any]
) -> Templates | None:
    given = [key for key in ATTRIBUTES if key in items]
    kind = found["kind"]
    if kind != GENERIC:
        what = f"is only supported for kind = {GENERIC}, not for {kind}"
        for key in given:
            reader.add_problem(reader.where(section, key), what)
        return None
    if missing := [key for key in NEEDED if key not in given]:
        what = f"must also have {', '.join(missing)}: templates such as {{data.id}}"
        reader.add_problem(reader.where(section), what)
    if not found.keys() >= {*given, *NEEDED}:
        return None
    return Templates(**{key: (found[key],) for key in given})


def _read_secret_file(file: str) -> str:
    # The secret is the content without surrounding whitespace.
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("is not valid UTF-8") from exc
    return require_text(secret)


def _parse_kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}, not {text[:100]!r}")
    return text


def _template_parser(attribute: str) -> Callable[[str], Template]:
    def parse_template(text: str) -> Template:
        require_text(text)
        try:
            template = Template.parse(text)
        except ValueError as exc:
            raise ValueError(f"is not a valid template: {exc}") from exc
        if attribute == "id" and template.literal:
            raise ValueError(f"must differ for each event, such as {{data.id}}, not {text[:100]!r}")
        template.check_literal(attribute)
        return template

    return parse_template


ADAPTER_KEYS: Keys = {
    "kind": _parse_kind,
    "secret": require_text,
    "secret_file": parse_path,
    **{attribute: _template_parser(attribute) for attribute in ATTRIBUTES},
}
"""The parser of each key."""
