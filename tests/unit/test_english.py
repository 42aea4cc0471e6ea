"""The rules in the section English of CONTRIBUTING.md, as far as they can be automated."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = (
    "README.md",
    "benchmarks",
    "chaos",
    "docs",
    "fuzz",
    "harness",
    "pacifica",
    "tests",
)
"""Files and folders to check."""

PHRASES = (
    r"anew",
    r"(?<!there )are no (?!longer|more)",
    r"at the most",
    r"beside that",
    r"comes? to nothing",
    r"former",
    r"goes? on",
    r"in vain",
    r"(?<!there )is no (?!longer|more)",
    r"likewise",
    r"mended",
    r"not yet been",
    r"shall",
    r"there is none",
    r"thereof",
    r"to be had",
    r"(?-i:What is(?![^.]*\?))",
    r"who(?:ever| is|soever)",
)
PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
OPENING = re.compile(r"(?:What|Who|Whether|Which|It|They|How|Where|That)\b")
"""Words that must not open a docstring."""


_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)  # Python 3.12 splits f-strings


def checked_files() -> Iterator[Path]:
    """Yield the Python, Markdown and HTML files of CHECKED, except this one."""
    for path in map(ROOT.joinpath, CHECKED):
        files = path.rglob("*") if path.is_dir() else [path]
        for file in files:
            if file.suffix in {".py", ".md", ".html"} and file != Path(__file__):
                yield file


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and strings, each with its line number."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in {tokenize.COMMENT, tokenize.STRING, _MIDDLE}:
                yield token.start[0], token.string
    else:
        yield 1, source


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a module, each with its line number."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def violations(file: Path) -> Iterator[str]:
    """Yield the violations of the rules, each with its position."""
    name = file.relative_to(ROOT).as_posix()
    for line, text in texts(file):
        for found in PHRASE.finditer(text):
            at = line + text.count("\n", 0, found.start())
            yield f"{name}:{at}: {found[0]!r}"
    for line, text in docstrings(file) if file.suffix == ".py" else ():
        if opening := OPENING.match(text):
            yield f"{name}:{line}: docstring opens with {opening[0]!r}"


@pytest.mark.parametrize(
    "file", list(checked_files()), ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_texts_follow_the_rules_for_english(file: Path) -> None:
    assert list(violations(file)) == []
