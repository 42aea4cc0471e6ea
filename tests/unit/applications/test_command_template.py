"""Command templates: words, placeholders and protection against injection."""

import re

import pytest

from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.events import Json
from tests.factories import make_event


def filled(command: str, **members: Json) -> list[str]:
    """Return the arguments of a command for an event with these members."""
    return CommandTemplate.parse(command).fill(make_event(7, **members))


def with_data(command: str, data: Json) -> list[str]:
    """Return the arguments of a command for an event with this data."""
    return filled(command, data=data)


@pytest.mark.parametrize(
    "line",
    [
        "sh -c 'wc {data.path}'",
        "/bin/sh -ec '{data.path}' sh",
        "bash --norc -lc {data.script}",
        "env A=1 sh -c 'wc {data.path}'",
        "timeout 5 bash -c 'wc {id}'",
        "python3.11 -u -c 'print({data.n})'",
        "perl -ne 'print {data.n}'",
        "node --eval {data.n}",
        "php -r {data.n}",
        "C:\\\\Windows\\\\cmd.exe /c 'dir {data.path}'",
    ],
)
def test_a_placeholder_in_code_is_rejected(line: str) -> None:
    with pytest.raises(ValueError, match="would let the event choose code for"):
        CommandTemplate.parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "sh -c 'wc \"$1\"' sh {data.path}",
        "python3 tool.py -c {data.path}",
        "sh tool.sh -c {data.path}",
        "grep -c x {data.path}",
        "tool -c {data.path}",
        "sh {data.path}",
        "python -c 'import sys; print(sys.argv)' {data.path}",
        "sh -c 'echo {{1,2}}'",
    ],
)
def test_a_placeholder_after_code_is_accepted(line: str) -> None:
    assert CommandTemplate.parse(str(CommandTemplate.parse(line))) == CommandTemplate.parse(line)


@pytest.mark.parametrize(
    ("line", "program", "arguments"),
    [
        pytest.param("true", "true", [], id="no argument"),
        pytest.param("  echo  a   b ", "echo", ["a", "b"], id="white space"),
        pytest.param("echo a\nb", "echo", ["a", "b"], id="lines"),
        pytest.param("'/a b/c' d", "/a b/c", ["d"], id="a program with a space"),
        pytest.param("echo 'a b' \"c d\" e\\ f", "echo", ["a b", "c d", "e f"], id="quotes"),
        pytest.param("echo ''", "echo", [""], id="an empty argument"),
        pytest.param("echo a'b'\"c\"", "echo", ["abc"], id="quotes within a word"),
        pytest.param("echo #a", "echo", ["#a"], id="no comments"),
        pytest.param(
            "echo $HOME `id` $(id) * ~ > x | y & z",
            "echo",
            ["$HOME", "`id`", "$(id)", "*", "~", ">", "x", "|", "y", "&", "z"],
            id="no shell syntax",
        ),
        pytest.param("echo {{}} {{id}} a{{b", "echo", ["{}", "{id}", "a{b"], id="braces"),
        pytest.param("{{x}} a", "{x}", ["a"], id="braces in the program"),
    ],
)
def test_a_command_is_split_into_words(line: str, program: str, arguments: list[str]) -> None:
    command = CommandTemplate.parse(line)
    assert command.program == program
    assert command.fill(make_event()) == arguments


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("", "no program given", id="nothing"),
        pytest.param(" \t", "no program given", id="spaces"),
        pytest.param("''", "no program given", id="an empty program"),
        pytest.param("'' a", "no program given", id="an empty program with an argument"),
        pytest.param("echo 'a", "No closing quotation", id="an open quote"),
        pytest.param("echo a\\", "No escaped character", id="a backslash at the end"),
        pytest.param(
            "{id}", "the program must not contain placeholders", id="the program from the event"
        ),
        pytest.param(
            "./{subject} a",
            "the program must not contain placeholders",
            id="part of the program from the event",
        ),
        pytest.param("echo {", "unmatched brace at character 1", id="an open brace"),
        pytest.param("echo ab}", "unmatched brace at character 3", id="a closing brace"),
        pytest.param(
            "echo {{id}", "unmatched brace at character 5", id="one of two closing braces"
        ),
        pytest.param("echo {a{id}}", "unmatched brace at character 1", id="braces within braces"),
        pytest.param("echo {}", "{} is not a valid placeholder", id="no name"),
        pytest.param("echo {Id}", "{Id} is not a valid placeholder", id="upper case"),
        pytest.param("echo '{ id }'", "{ id } is not a valid placeholder", id="spaces"),
        pytest.param(
            "echo {data_base64}", "{data_base64} is not a valid placeholder", id="underscore"
        ),
        pytest.param("echo {id!r}", "{id!r} is not a valid placeholder", id="a conversion"),
        pytest.param("echo {id:>9}", "{id:>9} is not a valid placeholder", id="a format"),
        pytest.param(
            "echo {id.__class__}", "{id.__class__} is not a valid", id="into an attribute"
        ),
        pytest.param("echo {data.}", "{data.} is not a valid placeholder", id="no key"),
        pytest.param("echo {data..a}", "{data..a} is not a valid placeholder", id="an empty key"),
        pytest.param("echo {data[0]}", "{data[0]} is not a valid placeholder", id="brackets"),
        pytest.param("echo {dataa.b}", "{dataa.b} is not a valid placeholder", id="not the data"),
    ],
)
def test_an_invalid_command_is_rejected(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CommandTemplate.parse(line)


@pytest.mark.parametrize("line", ["ec\0ho a", "echo a\0b"], ids=["program", "argument"])
def test_a_command_with_a_nul_character_is_rejected(line: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        CommandTemplate.parse(line)


@pytest.mark.parametrize(
    ("line", "data", "arguments"),
    [
        pytest.param("x {data}", "s", ["s"], id="the data itself"),
        pytest.param("x {data.a}", {"a": "v"}, ["v"], id="a key"),
        pytest.param("x {data.a.b.c}", {"a": {"b": {"c": "v"}}}, ["v"], id="keys"),
        pytest.param("x {data.A-b_c}", {"A-b_c": "v"}, ["v"], id="a key with other characters"),
        pytest.param("x {data.ä}", {"ä": "ö"}, ["ö"], id="a key that is not ASCII"),
        pytest.param("x {data.0} {data.1}", ["a", "b"], ["a", "b"], id="indices"),
        pytest.param("x {data.1.a}", [0, {"a": "v"}], ["v"], id="an index and a key"),
        pytest.param("x {data.0}", {"0": "v"}, ["v"], id="a key that looks like an index"),
        pytest.param("x {data.a}", {"a": ""}, [""], id="an empty string"),
        pytest.param("x {data.a}", {"a": "b c 'd"}, ["b c 'd"], id="always one argument"),
        pytest.param("x {data.a}", {"a": "$(id)\n;*"}, ["$(id)\n;*"], id="no shell syntax"),
        pytest.param("x {data.a}", {"a": "{id}"}, ["{id}"], id="braces in a value are text"),
        pytest.param("x a{data.a}b{data.a}", {"a": 1}, ["a1b1"], id="within a word"),
        pytest.param("x {{{data.a}}}", {"a": 1}, ["{1}"], id="within braces"),
        pytest.param("x {data.a}", {"a": True}, ["true"], id="true"),
        pytest.param("x {data.a}", {"a": False}, ["false"], id="false"),
        pytest.param("x {data.a}", {"a": 0}, ["0"], id="zero"),
        pytest.param("x {data.a}", {"a": 1.5}, ["1.5"], id="a number"),
        pytest.param("x {data.a}", {"a": [1, "b"]}, ['[1, "b"]'], id="an array as JSON"),
        pytest.param("x {data}", {"a": None}, ['{"a": null}'], id="an object as JSON"),
        pytest.param("x {data}", {}, ["{}"], id="an empty object"),
    ],
)
def test_a_placeholder_for_a_part_of_the_data(line: str, data: Json, arguments: list[str]) -> None:
    assert with_data(line, data) == arguments


def test_a_placeholder_for_an_attribute() -> None:
    arguments = filled("x {id} {source} {count} {flag}", count=5, flag=True)
    assert arguments == ["7", "/tests", "5", "true"]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        pytest.param("data", None, id="data is null"),
        pytest.param("data.a", {}, id="no such key"),
        pytest.param("data.a", {"a": None}, id="null"),
        pytest.param("data.A", {"a": 1}, id="another case"),
        pytest.param("data.a.b", {"a.b": 1}, id="keys are split at dots"),
        pytest.param("data.a.b", {"a": "s"}, id="into a string"),
        pytest.param("data.a.0", {"a": "s"}, id="an index into a string"),
        pytest.param("data.a.b", {"a": None}, id="into null"),
        pytest.param("data.2", ["a", "b"], id="index too large"),
        pytest.param("data.-1", ["a", "b"], id="negative index"),
        pytest.param("data.a", ["a", "b"], id="not an index"),
        pytest.param("data.²", ["a", "b", "c"], id="superscript two"),
        pytest.param("data." + "9" * 5000, ["a", "b"], id="an index of 5,000 digits"),
        pytest.param("data.__class__", {"a": 1}, id="no Python attribute"),
        pytest.param("subject", {}, id="a missing attribute"),
    ],
)
def test_a_placeholder_without_a_value_is_named(path: str, data: Json) -> None:
    with pytest.raises(ApplicationError, match=re.escape(f"no value for {{{path}}}")):
        with_data(f"x {{{path}}}", data)


def test_data_of_an_event_without_data() -> None:
    with pytest.raises(ApplicationError, match=r"no value for {data}"):
        filled("x {data}")


def test_binary_data_is_rejected() -> None:
    with pytest.raises(ApplicationError, match=r"{data} is binary; read it from \$DISPATCHER_EVE"):
        filled("x {data}", data_base64="YQ==")


@pytest.mark.parametrize("value", ["a\0b", "\0", "\ud800", "a\udfffb"], ids=ascii)
def test_characters_that_an_argument_cannot_contain_are_rejected(value: str) -> None:
    with pytest.raises(
        ApplicationError, match=r"{data\.a} contains characters that an argument cannot"
    ):
        with_data("x {data.a}", {"a": value})


@pytest.mark.parametrize(
    ("line", "data"),
    [
        pytest.param("x {data.a}", {"a": "-rf"}, id="short option"),
        pytest.param("x {data.a}", {"a": "--delete"}, id="long option"),
        pytest.param("x {data.a}", {"a": "-"}, id="a hyphen alone"),
        pytest.param("x {data.a}", {"a": "--"}, id="the end of options"),
        pytest.param("x {data.a}/x", {"a": "-rf"}, id="followed by text"),
        pytest.param("x a {data.a}", {"a": "-rf"}, id="a later argument"),
        pytest.param("x '' {data.a}", {"a": "-rf"}, id="after an empty argument"),
        pytest.param("x ''{data.a}", {"a": "-rf"}, id="after empty text"),
        pytest.param("x {data.a}{data.b}", {"a": "-", "b": "rf"}, id="of two placeholders"),
        pytest.param("x {data.a}{data.b}", {"a": "", "b": "-rf"}, id="after an empty placeholder"),
        pytest.param("x {data.a}-rf", {"a": ""}, id="an empty placeholder before a hyphen"),
        pytest.param("x {data.a} -- b", {"a": "-rf"}, id="before the end of options"),
        pytest.param("x {data.b} {data.a}", {"a": "-rf", "b": "--"}, id="an end from the event"),
        pytest.param("x {data}", "-rf", id="the data itself"),
    ],
)
def test_an_event_cannot_inject_an_option(line: str, data: Json) -> None:
    with pytest.raises(ApplicationError, match="may mistake it for an option; put -- before it"):
        with_data(line, data)


def test_an_injected_option_is_named_by_its_number() -> None:
    with pytest.raises(ApplicationError, match=r"argument 2 .* begins with '-'"):
        with_data("x a {data}", "-rf")


@pytest.mark.parametrize(
    ("line", "data", "arguments"),
    [
        pytest.param("x -- {data.a}", {"a": "-rf"}, ["--", "-rf"], id="after --"),
        pytest.param("x -v -- b {data.a}", {"a": "-rf"}, ["-v", "--", "b", "-rf"], id="later"),
        pytest.param("x --out={data.a}", {"a": "-rf"}, ["--out=-rf"], id="an option's value"),
        pytest.param("x ./{data.a}", {"a": "-rf"}, ["./-rf"], id="after literal text"),
        pytest.param("x -{data.a}", {"a": "v"}, ["-v"], id="the operator's own option"),
        pytest.param("x {data.a}", {"a": "a-b"}, ["a-b"], id="a hyphen within"),
    ],
)
def test_an_option_written_by_the_operator_is_accepted(
    line: str, data: Json, arguments: list[str]
) -> None:
    assert with_data(line, data) == arguments


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("a b", ("a b",), id="text with a space"),
        pytest.param("{id}", (Placeholder("id"),), id="a placeholder"),
        pytest.param("a {id} b", ("a ", Placeholder("id"), " b"), id="both"),
        pytest.param("{id}{data.a.0}", (Placeholder("id"), Placeholder("data.a.0")), id="two"),
        pytest.param("'{id}'", ("'", Placeholder("id"), "'"), id="quotes are text"),
        pytest.param("{{id}}", ("{", "id", "}"), id="braces"),
    ],
)
def test_an_argument_is_parsed_to_text_and_placeholders(
    text: str, parts: tuple[str | Placeholder, ...]
) -> None:
    assert Argument.parse(text) == Argument(parts)


@pytest.mark.parametrize("text", ["{", "}", "{id", "{}", "{Id}", "{data.}", "{{id}"])
def test_an_argument_with_invalid_braces_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|is not a valid placeholder"):
        Argument.parse(text)


def test_an_argument_is_filled_from_the_event() -> None:
    argument = Argument.parse("{source}/{{{data.a}}}")
    assert argument.fill(make_event(data={"a": [1]})) == "/tests/{[1]}"


def test_text_may_contain_any_character() -> None:
    event = make_event(data={"a": "\0\ud800"})
    assert Argument.parse("<{data.a}>").text(event) == "<\0\ud800>"
    with pytest.raises(ApplicationError, match="is binary"):
        Argument.parse("{data}").text(make_event(data_base64="AA=="))


@pytest.mark.parametrize(
    ("text", "begins"), [("{id}a", True), ("a{id}", False), ("", False), ("{{id}}", False)]
)
def test_an_argument_that_begins_with_a_placeholder(text: str, *, begins: bool) -> None:
    assert Argument.parse(text).begins_with_event is begins


@pytest.mark.parametrize(
    "text",
    [
        "sha256sum {data.path}",
        "sh -c 'echo \"$1\"' -- {subject}",
        "print a{id}b {{literal}} ''",
        "'with space' it\\'s \\# {type}",
    ],
)
def test_a_command_round_trips_as_text(text: str) -> None:
    command = CommandTemplate.parse(text)
    assert CommandTemplate.parse(str(command)) == command


def test_a_simple_command_is_displayed_without_quotes() -> None:
    assert str(CommandTemplate.parse("sha256sum '{data.path}'")) == "sha256sum {data.path}"
