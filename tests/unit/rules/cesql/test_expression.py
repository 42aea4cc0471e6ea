"""CESQL 1.0: every rule of the specification, including errors."""

import sys
import threading

import pytest

from pacifica.dispatcher.errors import TooMuchWorkError
from pacifica.dispatcher.events import Attribute
from pacifica.dispatcher.rules.cesql import (
    MAX_LENGTH,
    MAX_NESTING,
    MAX_OPERATORS,
    CesqlError,
    ErrorKind,
    Expression,
)

ATTRIBUTES: dict[str, Attribute] = {
    "specversion": "1.0",
    "id": "7",
    "source": "http://example.org/Files",
    "type": "org.example",
    "count": 5,
    "flag": True,
    "empty": "",
    "word": "abc",
    "lines": "one\ntwo",
    "yes": "TRUE",
    "1st": "first",
    "left": "a function's name",
}
MIN = -(2**31)
MAX = 2**31 - 1

VALUES: list[tuple[str, Attribute]] = [
    # Section 2.2: identifiers and literals.
    ("word", "abc"),
    ("WORD", "abc"),
    ("1st", "first"),
    ("left", "a function's name"),
    ("count", 5),
    ("flag", True),
    ("0", 0),
    ("007", 7),
    ("+5", 5),
    ("-5", -5),
    ("- 5", -5),
    (f"{MAX}", MAX),
    (f"{MIN}", MIN),
    ("tRUe", True),
    ("''", ""),
    ("'a\"b'", 'a"b'),
    ('"a\'b"', "a'b"),
    (r"'it\'s'", "it's"),
    (r'"\"\""', '""'),
    (r"'a\"b'", r"a\"b"),
    (r"'a\nb'", r"a\nb"),
    (r"'a\\'", r"a\\"),
    ("'a\nb'", "a\nb"),
    ("'AND -- (1'", "AND -- (1"),
    ("  \t\r\n1 \n", 1),
    # Section 3.4.1: unary operators.
    ("NOT FALSE", True),
    ("not true", False),
    ("NOT 'False'", True),
    ("NOT NOT TRUE", True),
    ("-count", -5),
    ("--count", 5),
    ("-'5'", -5),
    ("-flag", -1),
    # Section 3.4.2: arithmetic.
    ("2 + 3 * 4", 14),
    ("10 - 3 - 2", 5),
    ("2 * 3 % 4", 2),
    ("5 -1", 4),
    ("5-1", 4),
    ("5 - -1", 6),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("-7 / -2", 3),
    ("7 % 2", 1),
    ("-7 % 2", -1),
    ("7 % -2", 1),
    ("-7 % -2", -1),
    (f"{MIN} % -1", 0),
    ("'5' * TRUE", 5),
    ("count + '1'", 6),
    ("-count + 1", -4),
    # Section 3.4.2: comparison; the right operand's type decides.
    ("word = 'abc'", True),
    ("word = 'ABC'", False),
    ("word != 'abc'", False),
    ("word <> 'abd'", True),
    ("id = 7", True),
    ("7 = id", True),
    ("'07' = 7", True),
    ("7 = '07'", False),
    ("flag = 1", True),
    ("2 = TRUE", True),
    ("TRUE = 2", False),
    ("TRUE = 'true'", True),
    ("TRUE = 'TRUE'", False),
    ("yes = TRUE", True),
    ("id < 8", True),
    ("'10' > '9'", True),
    ("id <= 7", True),
    ("id >= 8", False),
    ("1 + 1 = 2", True),
    ("1 < 2 = TRUE", True),
    # Section 3.4.2 and 3.6: logic, from left to right, all on one level.
    ("TRUE XOR TRUE", False),
    ("TRUE XOR 'false'", True),
    ("TRUE OR FALSE AND FALSE", False),
    ("TRUE OR (FALSE AND FALSE)", True),
    ("FALSE AND TRUE OR TRUE", True),
    ("TRUE XOR TRUE OR TRUE", True),
    ("1 AND TRUE", True),
    ("0 OR 'true'", True),
    ("FALSE AND missing", False),
    ("TRUE OR missing", True),
    # Section 3.4.3: LIKE.
    ("word LIKE 'abc'", True),
    ("word LIKE 'ABC'", False),
    ("word like 'a%'", True),
    ("word LIKE '%c'", True),
    ("word LIKE '%b%'", True),
    ("word LIKE '%'", True),
    ("empty LIKE '%'", True),
    ("empty LIKE ''", True),
    ("empty LIKE '_'", False),
    ("word LIKE '___'", True),
    ("word LIKE '__'", False),
    ("word LIKE '_%_'", True),
    ("word LIKE 'ab%bc'", False),
    ("word LIKE '%a%b%c%'", True),
    ("word LIKE '%c%b%'", False),
    ("'aab' LIKE '%ab'", True),
    ("'abab' LIKE 'ab%ab'", True),
    ("'aba' LIKE 'ab%ba'", False),
    ("'xaybz' LIKE '%a_b%'", True),
    ("lines LIKE 'one%two'", True),
    ("lines LIKE 'one_two'", True),
    ("'a%b' LIKE 'a\\%b'", True),
    ("'axb' LIKE 'a\\%b'", False),
    ("'a_b' LIKE 'a\\_b'", True),
    ("'axb' LIKE 'a\\_b'", False),
    (r"'a\b' LIKE 'a\b'", True),
    ("'a.c' LIKE 'a.c'", True),
    ("'abc' LIKE 'a.c'", False),
    ("'a\n' LIKE 'a'", False),
    ("\"it's\" LIKE 'it\\'s'", True),
    ("word NOT LIKE 'a%'", False),
    ("word NOT LIKE 'b%'", True),
    ("count LIKE '5'", True),
    ("flag LIKE 'tr%'", True),
    # Section 3.4.4: EXISTS.
    ("EXISTS word", True),
    ("EXISTS empty", True),
    ("EXISTS missing", False),
    ("NOT EXISTS missing", True),
    ("exists ID", True),
    # Section 3.4.5: IN; the left operand's type decides.
    ("word IN ('x', 'abc')", True),
    ("word IN ('x')", False),
    ("word NOT IN ('x', 'y')", True),
    ("word NOT IN ('abc')", False),
    ("7 IN ('07')", True),
    ("'07' IN (7)", False),
    ("id IN (7)", True),
    ("'true' IN (TRUE)", True),
    ("flag IN ('TRUE')", True),
    ("count IN (1 + 4)", True),
    ("word IN ('abc', missing)", True),
    # Section 3.6: precedence.
    ("NOT yes = TRUE", False),
    ("NOT (yes = FALSE)", True),
    ("NOT yes LIKE 'false'", True),
    ("NOT yes IN (FALSE)", True),
    ("1 + 2 IN (2)", 2),
    ("'true' = word LIKE 'abc'", True),
    ("word LIKE 'a%' IN (TRUE)", True),
    ("word IN ('abc') LIKE 'tr%'", True),
    ("((1))", 1),
    # Section 3.5: functions.
    ("LENGTH('a\N{GRINNING FACE}')", 2),
    ("length(count)", 1),
    ("CONCAT()", ""),
    ("CONCAT('a', 1, TRUE)", "a1true"),
    ("CONCAT_WS('-', 'a', 'b')", "a-b"),
    ("CONCAT_WS('-')", ""),
    ("concat_ws ('-', 'a')", "a"),
    ("LOWER('ÄB')", "äb"),
    ("UPPER('äb')", "ÄB"),
    ("TRIM('\t\u00a0\u3000 a b\u2028\n')", "a b"),
    ("TRIM('\x1fa\x1c')", "\x1fa\x1c"),
    ("TRIM('\u200ba')", "\u200ba"),
    ("LEFT('abc', 0)", ""),
    ("LEFT('abc', '2')", "ab"),
    ("LEFT('abc', 3)", "abc"),
    ("RIGHT('abc', 0)", ""),
    ("RIGHT('abc', 2)", "bc"),
    ("RIGHT('abc', 4)", "abc"),
    ("SUBSTRING('abc', 3)", "c"),
    ("SUBSTRING('abc', -3)", "abc"),
    ("SUBSTRING('abc', 0)", ""),
    ("SUBSTRING('abc', 0, 1)", ""),
    ("SUBSTRING('abc', 2, 1)", "b"),
    ("SUBSTRING('abc', -2, 1)", "b"),
    ("SUBSTRING('abc', 2, 0)", ""),
    ("SUBSTRING('abc', 2, 9)", "bc"),
    ("ABS(-5)", 5),
    (f"ABS({MIN + 1})", MAX),
    # Section 3.7: casts.
    ("INT('+5')", 5),
    ("INT('-0005')", -5),
    (f"INT('{'0' * 5000}7')", 7),
    (f"INT('{MIN}')", MIN),
    ("INT(flag)", 1),
    ("BOOL('tRuE')", True),
    ("BOOL(-1)", True),
    ("BOOL(0)", False),
    ("STRING(-5)", "-5"),
    ("STRING(TRUE)", "true"),
    ("STRING(007)", "7"),
]

ERRORS: list[tuple[str, str, Attribute]] = [
    # Section 3.2: a missing attribute; the value is zero, of the expression's type.
    ("missing", "missingAttribute", False),
    ("data", "missingAttribute", False),
    ("missing = ''", "missingAttribute", False),
    ("'' = missing", "missingAttribute", False),
    ("TRUE AND missing", "missingAttribute", False),
    ("missing + 1", "missingAttribute", 0),
    ("-missing", "missingAttribute", 0),
    ("NOT missing", "missingAttribute", False),
    ("1 / missing", "missingAttribute", 0),
    ("missing LIKE '%'", "missingAttribute", False),
    ("missing NOT LIKE '%'", "missingAttribute", False),
    ("missing IN ('a')", "missingAttribute", False),
    ("word IN (missing, 'abc')", "missingAttribute", False),
    ("missing NOT IN ('a')", "missingAttribute", False),
    ("LENGTH(missing)", "missingAttribute", 0),
    ("CONCAT('a', missing)", "missingAttribute", ""),
    # Section 3.4: mathematics.
    ("1 / 0", "math", 0),
    ("1 % 0", "math", 0),
    (f"{MAX} + 1", "math", 0),
    (f"{MIN} - 1", "math", 0),
    (f"{MAX} * 2", "math", 0),
    (f"{MIN} / -1", "math", 0),
    (f"-({MIN})", "math", 0),
    ("1 / 0 = 0", "math", False),
    ("CONCAT(1 / 0)", "math", ""),
    (f"ABS({MIN})", "math", MAX),
    (f"ABS({MIN}) + 1", "math", 0),
    # Section 3.7: casts; NOT and an integer as the conformance tests require.
    ("NOT 10", "cast", True),
    ("NOT count", "cast", True),
    ("NOT 'x'", "cast", True),
    ("(NOT 10) AND TRUE", "cast", False),
    ("word + 1", "cast", 0),
    ("-word", "cast", 0),
    ("word = 1", "cast", False),
    ("word = TRUE", "cast", False),
    ("word = word LIKE 'abc'", "cast", False),
    ("word < 'abd'", "cast", False),
    ("word AND TRUE", "cast", False),
    ("TRUE XOR word", "cast", False),
    ("1 IN (word)", "cast", False),
    ("ABS(word)", "cast", 0),
    ("LEFT('abc', word)", "cast", ""),
    (f"INT('{MAX + 1}')", "cast", 0),
    ("INT('')", "cast", 0),
    ("INT(' 5')", "cast", 0),
    ("INT('5_0')", "cast", 0),
    ("INT('1.0')", "cast", 0),
    ("INT('\u0665')", "cast", 0),
    (f"INT('{'9' * 5000}')", "cast", 0),
    ("BOOL('1')", "cast", False),
    ("BOOL('')", "cast", False),
    ("BOOL(' true')", "cast", False),
    # Section 3.5: functions.
    ("LEFT('abc', -1)", "functionEvaluation", "abc"),
    ("RIGHT('abc', -1)", "functionEvaluation", "abc"),
    ("LEFT('abc', -1) = 'abc'", "functionEvaluation", False),
    ("LENGTH(LEFT('abc', -1))", "functionEvaluation", 0),
    ("SUBSTRING('abc', 4)", "functionEvaluation", ""),
    ("SUBSTRING('abc', -4)", "functionEvaluation", ""),
    ("SUBSTRING('', 1)", "functionEvaluation", ""),
    ("SUBSTRING('abc', 1, -1)", "functionEvaluation", ""),
    ("SUBSTRING('abc', 0, -1)", "functionEvaluation", ""),
]

REFUSED: list[tuple[str, str]] = [
    ("", "character 1: expected a value, an attribute or a function, not the end"),
    ("  ", "character 3: expected a value"),
    ("a b", "character 3: expected an operator or the end, not 'b'"),
    ("a = ", "character 5: expected a value, an attribute or a function, not the end"),
    ("= a", "character 1: expected a value"),
    ("(a", "character 3: expected ), not the end"),
    ("a)", "character 2: expected an operator or the end, not ')'"),
    ("()", "character 2: expected a value"),
    ("a == 'b'", "character 4: expected a value, an attribute or a function, not '='"),
    ("a & b", "character 3: unexpected '&'"),
    ("a = b;", "character 6: unexpected ';'"),
    ("a.b", "character 2: unexpected '.'"),
    ("1.5", "character 2: unexpected '.'"),
    ("ä = 1", "character 1: unexpected 'ä'"),
    ("\u0661", "unexpected"),
    ("a = 'b", "character 5: unterminated string"),
    ("a = \"b'", "character 5: unterminated string"),
    (r"a = 'b\'", "character 5: unterminated string"),
    ("'it''s'", "character 5: expected an operator or the end, not 's'"),
    ("2147483648", "character 1: expected a 32-bit integer, not '2147483648'"),
    ("-2147483649", "character 2: expected a 32-bit integer, not '2147483649'"),
    ("- 2147483648", "character 3: expected a 32-bit integer"),
    ("9" * 5000, "expected a 32-bit integer"),
    ("+ 5", "character 1: expected a value"),
    ("+count", "character 1: expected a value"),
    ("word LIKE other", "character 11: expected a string in quotes, not 'other'"),
    ("word LIKE 5", "character 11: expected a string in quotes"),
    ("word LIKE ('a')", "character 11: expected a string in quotes"),
    ("word NOT 'a'", "character 10: expected LIKE or IN, not 'a'"),
    ("word IN ()", "character 10: expected a value"),
    ("word IN 'a'", "character 9: expected (, not 'a'"),
    ("word IN ('a',)", "character 14: expected a value"),
    ("EXISTS", "character 7: expected a value, an attribute or a function, not the end"),
    ("EXISTS 'id'", "character 8: expected a value"),
    ("EXISTS 5", "character 8: expected a value"),
    ("EXISTS (id)", "character 8: expected a value"),
    ("EXISTS in", "character 8: expected a value"),
    ("my_word", "character 1: expected a value, an attribute or a function, not 'my_word'"),
    ("like", "character 1: expected a value"),
    ("LENGTH('a'", "character 11: expected ), not the end"),
    ("LENGTH('a' 'b')", "character 12: expected ), not 'b'"),
    ("F1(a)", "character 1: expected the name of a function, not 'F1'"),
    ("_F(a)", "character 1: expected the name of a function, not '_F'"),
    ("x" * (MAX_LENGTH + 1), f"longer than {MAX_LENGTH} characters"),
    ("(" * (MAX_NESTING + 1) + "1", f"nested deeper than {MAX_NESTING} levels"),
    ("NOT " * (MAX_NESTING + 1) + "true", f"nested deeper than {MAX_NESTING} levels"),
    ("-" * 10_000 + "1", f"nested deeper than {MAX_NESTING} levels"),
    ("1" + " + 1" * (MAX_OPERATORS + 1), f"more than {MAX_OPERATORS} operators"),
    ("1" + " IN (1)" * (MAX_OPERATORS + 1), f"more than {MAX_OPERATORS} operators"),
]

UNKNOWN: list[tuple[str, str]] = [
    ("NOSUCH(1)", "NOSUCH is not a function; functions are INT, BOOL, "),
    ("nosuch()", "NOSUCH is not a function"),
    ("TRUE OR NOSUCH()", "NOSUCH is not a function"),
    ("LENGTH()", "LENGTH does not take 0 arguments"),
    ("LENGTH('a', 'b')", "LENGTH does not take 2 arguments"),
    ("CONCAT_WS()", "CONCAT_WS does not take 0 arguments"),
    ("SUBSTRING('a', 1, 1, 1)", "SUBSTRING does not take 4 arguments"),
    ("INT()", "INT does not take 0 arguments"),
]


def shown(text: object) -> str:
    return ascii(text)[:60]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=shown)
def test_the_result_of_an_expression(text: str, value: Attribute) -> None:
    found = Expression.compile(text).evaluate(ATTRIBUTES)
    assert (found.errors, type(found.value), found.value) == ((), type(value), value)


@pytest.mark.parametrize(("text", "kind", "value"), ERRORS, ids=shown)
def test_an_error_comes_with_its_kind_and_a_value(text: str, kind: str, value: Attribute) -> None:
    found = Expression.compile(text).evaluate(ATTRIBUTES)
    assert [each.kind for each in found.errors] == [ErrorKind(kind)]
    assert (type(found.value), found.value) == (type(value), value)


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=shown)
def test_an_invalid_expression_is_rejected_with_its_position(text: str, message: str) -> None:
    with pytest.raises(CesqlError) as caught:
        Expression.compile(text)
    assert caught.value.kind is ErrorKind.PARSE
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), UNKNOWN, ids=shown)
def test_an_unknown_function_is_rejected_at_compile_time(text: str, message: str) -> None:
    with pytest.raises(CesqlError) as caught:
        Expression.compile(text)
    assert caught.value.kind is ErrorKind.MISSING_FUNCTION
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param("word = 'abc'", True, id="true"),
        pytest.param("word = 'x'", False, id="false"),
        pytest.param("'true'", False, id="a string"),
        pytest.param("1", False, id="an integer"),
        pytest.param("flag", True, id="a Boolean attribute"),
        pytest.param("missing = 'x'", False, id="an error"),
        pytest.param("NOT 10", False, id="an error whose value is true"),
    ],
)
def test_only_true_without_an_error_is_true(text: str, *, holds: bool) -> None:
    assert Expression.compile(text).is_true(ATTRIBUTES) is holds


def test_the_attributes_used_by_an_expression() -> None:
    text = "b = a AND EXISTS c OR d LIKE 'e' OR f IN (g, 1) OR LENGTH(h) = -i AND NOT b"
    assert Expression.compile(text).attributes == (*"bacdfghi",)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1" + " * 1" * MAX_OPERATORS, id="operators"),
        pytest.param("(" * MAX_NESTING + "1" + ")" * MAX_NESTING, id="parentheses"),
        pytest.param("LENGTH(" * MAX_NESTING + "1" + ")" * MAX_NESTING, id="calls"),
        pytest.param("- " * MAX_NESTING + "1", id="signs"),
    ],
)
def test_the_deepest_expression_uses_less_than_half_of_the_stack(text: str) -> None:
    half = sys.getrecursionlimit() // 2
    outcome: list[tuple[CesqlError, ...] | BaseException] = []

    def descend(depth: int) -> None:
        if depth:
            descend(depth - 1)
        else:
            outcome.append(Expression.compile(text).evaluate({}).errors)

    def run() -> None:
        try:
            descend(half)
        except BaseException as exc:  # noqa: BLE001 - the test inspects it
            outcome.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcome == [()]


def test_a_like_pattern_is_matched_in_linear_time() -> None:
    text = "a" * 100_000
    expression = Expression.compile(f"word LIKE '{'%a' * 20}%b%'")
    assert not expression.is_true({"word": text})


@pytest.mark.parametrize(
    "text",
    [
        f"subject LIKE '%{'_' * 2000}b%'",
        f"CONCAT({', '.join(['subject'] * 200)}) = 'x'",
        f"CONCAT_WS(subject, {', '.join('a' * 200)}, {', '.join(['subject'] * 200)}) = 'x'",
    ],
    ids=["LIKE", "CONCAT", "CONCAT_WS"],
)
def test_an_expression_on_too_long_a_text_ends_with_an_error(text: str) -> None:
    with pytest.raises(TooMuchWorkError):
        Expression.compile(text).is_true({"subject": "a" * 1024**2, "a": "a"})
