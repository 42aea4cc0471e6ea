"""Output as HTML: colours, overwritten lines, and no markup of its own."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.page.terminal import Terminal

ESC = "\x1b"


def shown(*pieces: str, stream: str = "stdout") -> str:
    """Return the HTML of pieces of one stream."""
    terminal = Terminal()
    return "".join(terminal.html(stream, piece) for piece in pieces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("<b>&'\"", "&lt;b&gt;&amp;&#x27;&quot;"),
        (f"{ESC}[31mred{ESC}[0m plain", '<span class="f1">red</span> plain'),
        (f"{ESC}[31mred{ESC}[m plain", '<span class="f1">red</span> plain'),
        (f"{ESC}[1;4;3;2;9mx", '<span class="bold dim italic underline strike">x</span>'),
        (f"{ESC}[7mx{ESC}[27my", '<span class="reverse">x</span>y'),
        (f"{ESC}[92;44mx{ESC}[39mx", '<span class="f10 b4">x</span><span class="b4">x</span>'),
        (f"{ESC}[38;5;196mx", '<span class="f1">x</span>'),
        (f"{ESC}[48;2;0;0;200mx", '<span class="b4">x</span>'),
        (f"{ESC}[31m<i>", '<span class="f1">&lt;i&gt;</span>'),
        (f"a{ESC}[2Kb{ESC}[1;1Hc{ESC}[?25ld", "abcd"),
        (f"a{ESC}]0;a title\x07b{ESC}]8;;http://x{ESC}\\link{ESC}]8;;{ESC}\\", "ablink"),
        (f"a{ESC}(Bb{ESC}=c", "abc"),
        (f"{ESC}[38;5mx{ESC}[38mx{ESC}[999mx{ESC}[;;mx", "xxxx"),
        ("a\x00b\x07c\x08d\x7fe\x9bf\tg", "abcdef\tg"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("10 %\r20 %\r30 %\ndone", "30 %\ndone"),
    ],
)
def test_text_becomes_html(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_colour_continues_in_the_next_piece_of_its_stream() -> None:
    terminal = Terminal()
    assert terminal.html("stdout", f"{ESC}[32m") == ""
    assert terminal.html("stderr", "x") == '<span class="stderr">x</span>'
    assert terminal.html("stdout", "x") == '<span class="f2">x</span>'


def test_a_split_sequence_is_joined() -> None:
    sequence = f"{ESC}[38;5;196m"
    for cut in range(len(sequence) + 1):
        pieces = f"a{sequence[:cut]}", f"{sequence[cut:]}b"
        assert shown(*pieces) == 'a<span class="f1">b</span>'


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("1 %\r", "2 %\r", "3 %\n"), "1 %\n2 %\n3 %\n"),
        (("\r1 %", "\r2 %", "\r3 %\n"), "1 %\n2 %\n3 %\n"),
        (("one\r", "\ntwo"), "one\ntwo"),
        (("one\n", "\rtwo"), "one\ntwo"),
        (("one", "", " two"), "one two"),
    ],
)
def test_text_overwritten_by_a_later_piece_keeps_its_line(
    pieces: tuple[str, ...], expected: str
) -> None:
    assert shown(*pieces) == expected


@given(st.lists(st.text(alphabet=st.sampled_from([*"ab<&\"'\n\r\x1b[]()0;m\x07\x00m1", "\x9b"]))))
def test_the_html_has_only_our_own_tags(pieces: list[str]) -> None:
    found = shown(*pieces, stream="stderr")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", found)
    bare = re.sub(r'<span class="[a-z0-9 ]+">|</span>', "", found)
    assert "<" not in bare
    assert html.escape(html.unescape(bare)) == bare
