"""Formats of attributes: URI-references, media types, timestamps."""

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Json
from tests.factories import make_event


def refused(**members: Json) -> dict[str, str]:
    """Return the problems of an event with these members by pointer."""
    with pytest.raises(EventError, match=r"^Not a valid CloudEvent$") as caught:
        make_event(**members)
    return {each.where: each.what for each in caught.value.problems}


@pytest.mark.parametrize("name", ["source", "dataschema"])
@pytest.mark.parametrize(
    "reference",
    [
        "#",
        "?",
        "/",
        "//",
        "a",
        "a/b:c",
        "./a:b",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "https://github.com/cloudevents/spec/pull?a=b&c=d",
        "http://user:pass@[2001:db8::1]:8080/a%20b;c=d?e=/f#g?h",
        "http://[v1.a:b]/",
        "http://metadata.pacifica.org/transactions?_id=11",
        "//storage.googleapis.com/projects/_/buckets/bucket",
        "/apis/v1/namespaces/default/kafkasources/source#topic",
        "/subscriptions/6c2e/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/a",
        "tag:example.org,2026:~(a)*'$!",
    ],
)
def test_a_valid_uri_reference(name: str, reference: str) -> None:
    assert make_event(**{name: reference}).attributes[name] == reference


@pytest.mark.parametrize("name", ["source", "dataschema"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a b", id="a space"),
        pytest.param("/caf\u00e9", id="a letter that is not ASCII"),
        pytest.param("/\u0661", id="a digit that is not ASCII"),
        pytest.param("/100%", id="a bare percent sign"),
        pytest.param("/%zz", id="a percent sign without digits"),
        pytest.param("1a:b", id="a colon in the first segment"),
        pytest.param(":a", id="an empty scheme"),
        pytest.param("a#b#c", id="two fragments"),
        pytest.param("http://[::1", id="an open bracket"),
        pytest.param("/a[b]", id="brackets in a path"),
        pytest.param("//host:port/", id="a port of letters"),
        pytest.param("a\\b", id="a backslash"),
        pytest.param("<a>", id="angle brackets"),
        pytest.param("{a}", id="braces"),
    ],
)
def test_an_invalid_uri_reference_is_rejected(name: str, text: str) -> None:
    assert "RFC 3986" in refused(**{name: text})[f"/{name}"]


@pytest.mark.parametrize(
    "text",
    [
        "application/json",
        "text/xml; charset=utf-8",
        "APPLICATION/VND.API+JSON ;a=b",
        'multipart/mixed; boundary="a b"',
    ],
)
def test_a_valid_media_type(text: str) -> None:
    assert make_event(datacontenttype=text).attributes["datacontenttype"] == text


@pytest.mark.parametrize("text", ["json", "text/", "/json", "text plain", "a/b/c", "text/a, b/c"])
def test_an_invalid_media_type_is_rejected(text: str) -> None:
    assert "RFC 2046" in refused(datacontenttype=text)["/datacontenttype"]


@pytest.mark.parametrize("value", ["soon", "2026-11-23", 5, True], ids=repr)
def test_an_invalid_expirytime_is_rejected(value: Json) -> None:
    assert set(refused(expirytime=value)) == {"/expirytime"}
