"""Sections [adapter:NAME]."""

from pathlib import Path

import pytest

from pacifica.dispatcher.adapters import KINDS, Templates, make_adapter
from pacifica.dispatcher.adapters.templates import parse_templates
from pacifica.dispatcher.config import ADAPTER_KEYS
from tests.unit.config.reading import SECRET, read, refused

GENERIC = "kind = generic\nsecret = none\n"
TEMPLATES = "id = {data.id}\nsource = /a\ntype = t\n"


TEMPLATE_KEYS = ("id", "source", "type", "subject", "time")


class TestAdapters:
    """Sections [adapter:NAME]."""

    @pytest.mark.parametrize("kind", [each for each in KINDS if each != "generic"])
    def test_a_specific_kind(self, kind: str) -> None:
        adapters = read(f"[adapter:one]\nkind = {kind}\nsecret = {SECRET}\n").adapters
        assert adapters == {"one": make_adapter("one", kind, KINDS[kind](SECRET), None)}
        assert SECRET not in repr(adapters)

    def test_the_generic_kind(self) -> None:
        text = f"{GENERIC}{TEMPLATES}subject = {{xname}}\ntime = {{data.at}}\n"
        found = read(f"[adapter:one]\n{text}").adapters["one"]
        expected = Templates(
            *map(parse_templates, ("{data.id}", "/a", "t", "{xname}", "{data.at}"))
        )
        assert (found.kind, found.scheme) == ("generic", None)
        assert getattr(found.convert, "__self__", None) == expected

    @pytest.mark.parametrize("content", [SECRET, f" {SECRET}\n", f"{SECRET}\r\n"])
    def test_a_secret_file_relative_to_the_configuration(self, folder: Path, content: str) -> None:
        (folder / "secrets").mkdir()
        (folder / "secrets" / "one").write_text(content)
        adapters = read("[adapter:one]\nkind = s3\nsecret_file = secrets/one\n").adapters
        assert adapters["one"].scheme == KINDS["s3"](SECRET)

    def test_only_secret_none_turns_authentication_off(self) -> None:
        assert read("[adapter:one]\nkind = s3\nsecret = none\n").adapters["one"].scheme is None
        Path("none").write_text("none")
        found = read("[adapter:one]\nkind = s3\nsecret_file = none\n").adapters["one"]
        assert found.scheme == KINDS["s3"]("none")

    @pytest.mark.parametrize(
        "text", ["", f"secret = {SECRET}\nsecret_file = a\n"], ids=["neither", "both"]
    )
    def test_exactly_one_secret_is_required(self, text: str) -> None:
        [(where, what)] = refused(f"[adapter:one]\nkind = s3\n{text}").items()
        assert where == "a.ini: [adapter:one]"
        assert "must have either a secret or a secret_file, not both; use secret = none" in what

    @pytest.mark.parametrize(
        ("text", "key", "message"),
        [
            ("kind = ftp\nsecret = none\n", "kind", "must be one of github, gitlab, stripe, s3"),
            ("kind = s3\nsecret =\n", "secret", "must not be empty"),
            ("kind = gitlab\nsecret = whsec_?\n", "secret", "is not a valid signing token"),
            ("kind = s3\nsecret_file =\n", "secret_file", "must not be empty"),
            ("kind = s3\nsecret_file = no\n", "secret_file", "cannot be read: No such file"),
            ("kind = s3\nsecret_file = .\n", "secret_file", "cannot be read: Is a directory"),
            ("kind = s3\nsecret_file = empty\n", "secret_file", "must not be empty"),
            ("kind = s3\nsecret_file = latin\n", "secret_file", "is not valid UTF-8"),
            (
                "kind = s3\nsecret = none\nid = {data.id}\n",
                "id",
                "is only supported for kind = generic",
            ),
            (f"{GENERIC}{TEMPLATES}time =\n", "time", "must not be empty"),
            (f"{GENERIC}{TEMPLATES}time = noon\n", "time", "must be an RFC 3339 timestamp"),
            (f"{GENERIC}{TEMPLATES}subject = {{\n", "subject", "unmatched brace at character 1"),
            (f"{GENERIC}{TEMPLATES}subject = {{X-A}}\n", "subject", "is not a valid placeholder"),
            (f"{GENERIC}id = 1\nsource = /\ntype = t\n", "id", "must differ for each event"),
            (f"{GENERIC}id = {{data}}\nsource = a b\ntype = t\n", "source", "URI-reference"),
            (f"{GENERIC}id = {{data}}\nsource = /\ntype = {{a.b}}\n", "type", "is not a valid"),
        ],
    )
    def test_an_invalid_value_is_reported_with_its_place(
        self, text: str, key: str, message: str
    ) -> None:
        Path("empty").write_text(" \n")
        Path("latin").write_bytes(b"\xff")
        problems = refused(f"[adapter:one]\n{text}")
        assert [*problems] == [f"a.ini: [adapter:one] {key}"]
        assert message in problems[f"a.ini: [adapter:one] {key}"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("secret = none\n", "must have a kind, one of github, "),
            (GENERIC, "must also have id, source, type"),
            (f"{GENERIC}id = {{data.id}}\ntype = t\n", "must also have source"),
        ],
    )
    def test_missing_keys_are_named(self, text: str, message: str) -> None:
        [(where, what)] = refused(f"[adapter:one]\n{text}").items()
        assert where == "a.ini: [adapter:one]"
        assert message in what

    def test_a_name_must_be_usable_in_a_url(self) -> None:
        problems = refused("[adapter:a/b]\nkind = s3\nsecret = none\n")
        assert [*problems] == ["a.ini: [adapter:a/b]"]

    def test_no_message_contains_the_secret(self) -> None:
        text = f"kind = gitlab\nsecret = whsec_{SECRET}\nsecret_file = a\nid = {{\n"
        assert SECRET not in str(refused(f"[adapter:one]\n{text}"))
        assert SECRET not in str(
            refused(f"[adapter:one]\nkind = gitlab\nsecret = whsec_{SECRET}\n")
        )

    def test_the_known_keys(self) -> None:
        assert {*ADAPTER_KEYS} == {"kind", "secret", "secret_file", *TEMPLATE_KEYS}
