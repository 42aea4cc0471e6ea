"""Authentication schemes, with the senders' own examples where available."""

import base64
import hashlib
import hmac

import pytest

from pacifica.dispatcher.adapters.headers import headers_by_key
from pacifica.dispatcher.adapters.signatures import (
    TOLERANCE,
    GitHub,
    Scheme,
    StandardWebhooks,
    Stripe,
    Token,
    bearer_scheme,
    gitlab_scheme,
)
from pacifica.dispatcher.errors import SignatureError

BODY = b'{"a": "\xc3\xa4"}'
NOW = 1_795_453_057
KEY = b"0123456789abcdef0123456789abcdef"
SIGNING_TOKEN = f"whsec_{base64.b64encode(KEY).decode()}"


def passes(
    scheme: Scheme, headers: dict[str, str], body: bytes = BODY, now: float = NOW + 0.5
) -> bool:
    """Return True if the delivery is accepted."""
    try:
        scheme.verify(headers_by_key(headers.items()), body, now)
    except SignatureError:
        return False
    return True


def digest(key: bytes, *parts: bytes) -> bytes:
    """Return the HMAC-SHA256 of parts joined by dots."""
    return hmac.new(key, b".".join(parts), hashlib.sha256).digest()


def standard(
    delivery: str = "d1", time: int | str = NOW, *, key: bytes = KEY, body: bytes = BODY
) -> dict[str, str]:
    """Return headers of Standard Webhooks."""
    signed = digest(key, delivery.encode(), str(time).encode(), body)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(time),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def stripe(time: int | str = NOW, key: bytes = b"whsec_x", body: bytes = BODY) -> str:
    """Return a `v1` value of Stripe."""
    return digest(key, str(time).encode(), body).hex()


class TestGitHub:
    """`X-Hub-Signature-256`."""

    def test_the_example_of_githubs_documentation(self) -> None:
        signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        headers = {"X-Hub-Signature-256": f"sha256={signature}"}
        assert passes(GitHub("It's a Secret to Everybody"), headers, b"Hello, World!")

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(f"sha256={digest(b'other', BODY).hex()}", id="another secret"),
            pytest.param(f"sha256={digest(b's', BODY + b' ').hex()}", id="another body"),
            pytest.param(digest(b"s", BODY).hex(), id="no prefix"),
            pytest.param(f"sha1={digest(b's', BODY).hex()}", id="another prefix"),
            pytest.param(f"sha256={digest(b's', BODY).hex()[:-1]}", id="too short"),
            pytest.param("sha256=", id="nothing after the prefix"),
            pytest.param("", id="empty"),
            pytest.param("\xff\xfe", id="not UTF-8"),
        ],
    )
    def test_a_rejected_delivery(self, sent: str) -> None:
        assert not passes(GitHub("s"), {"X-Hub-Signature-256": sent})

    def test_a_missing_signature_is_named(self) -> None:
        with pytest.raises(SignatureError, match="Missing header X-Hub-Signature-256"):
            GitHub("s").verify({}, BODY, NOW)

    def test_the_sha1_signature_is_not_accepted(self) -> None:
        sha1 = hmac.new(b"s", BODY, hashlib.sha1).hexdigest()
        assert not passes(GitHub("s"), {"X-Hub-Signature": f"sha1={sha1}"})


class TestToken:
    """The secret in a header."""

    @pytest.mark.parametrize(
        ("scheme", "headers"),
        [
            (gitlab_scheme("a b"), {"X-Gitlab-Token": "a b"}),
            (gitlab_scheme("ä"), {"X-Gitlab-Token": "\xc3\xa4"}),
            (bearer_scheme("t"), {"Authorization": "Bearer t"}),
            (bearer_scheme("t"), {"Authorization": "bearer t"}),
        ],
    )
    def test_an_accepted_delivery(self, scheme: Scheme, headers: dict[str, str]) -> None:
        assert passes(scheme, headers)

    @pytest.mark.parametrize(
        ("scheme", "headers"),
        [
            (gitlab_scheme("ab"), {"X-Gitlab-Token": "a"}),
            (gitlab_scheme("ab"), {"X-Gitlab-Token": "abc"}),
            (gitlab_scheme("ä"), {"X-Gitlab-Token": "\xe4"}),
            (gitlab_scheme("ab"), {"X-Gitlab-Token": ""}),
            (gitlab_scheme("ab"), {}),
            (bearer_scheme("t"), {"Authorization": "t"}),
            (bearer_scheme("t"), {"Authorization": "bearer T"}),
            (bearer_scheme("t"), {"Authorization": "Basic t"}),
            (bearer_scheme("t"), {"Authorization": "Bearer t, Bearer t"}),
        ],
    )
    def test_a_rejected_delivery(self, scheme: Scheme, headers: dict[str, str]) -> None:
        assert not passes(scheme, headers)


class TestStandardWebhooks:
    """GitLab's signing token."""

    def test_the_secret_selects_the_scheme(self) -> None:
        assert gitlab_scheme(SIGNING_TOKEN) == StandardWebhooks(KEY)
        assert gitlab_scheme("token") == Token("token", "X-Gitlab-Token")

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_ä", "whsec_abc", "whsec_a b="])
    def test_a_signing_token_must_be_base64(self, secret: str) -> None:
        with pytest.raises(ValueError, match=r"^is not a valid signing token"):
            gitlab_scheme(secret)

    def test_several_signatures(self) -> None:
        headers = standard()
        headers["webhook-signature"] = f"v1a,x v1,bm8= {headers['webhook-signature']}"
        assert passes(gitlab_scheme(SIGNING_TOKEN), headers)

    @pytest.mark.parametrize("seconds", [-TOLERANCE, 0, TOLERANCE])
    def test_a_recent_time_is_accepted(self, seconds: int) -> None:
        assert passes(gitlab_scheme(SIGNING_TOKEN), standard(time=NOW + seconds), now=NOW)

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param(standard(key=b"other"), id="another key"),
            pytest.param(standard(body=b""), id="another body"),
            pytest.param({**standard(), "webhook-id": "d2"}, id="another id"),
            pytest.param({**standard(), "webhook-timestamp": str(NOW + 1)}, id="another time"),
            pytest.param({**standard(), "webhook-signature": ""}, id="no signature"),
            pytest.param(standard(time=NOW - TOLERANCE - 1), id="too old"),
            pytest.param(standard(time=NOW + TOLERANCE + 2), id="too new"),
            pytest.param(standard(time="soon"), id="an invalid time"),
            pytest.param(standard(time="9" * 16), id="a time too long"),
            pytest.param({"X-Gitlab-Token": SIGNING_TOKEN}, id="the token itself"),
        ],
    )
    def test_a_rejected_delivery(self, headers: dict[str, str]) -> None:
        assert not passes(gitlab_scheme(SIGNING_TOKEN), headers)


class TestStripe:
    """`Stripe-Signature`."""

    @pytest.mark.parametrize(
        "sent",
        [
            f"t={NOW},v1={stripe()}",
            f"t={NOW},v1={stripe()},v0=00",
            f"v1=00,t={NOW}, v1={stripe()}",
            f"t={NOW - TOLERANCE + 1},v1={stripe(NOW - TOLERANCE + 1)}",
        ],
    )
    def test_an_accepted_delivery(self, sent: str) -> None:
        assert passes(Stripe("whsec_x"), {"Stripe-Signature": sent})

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(f"t={NOW},v1={stripe(key=b'other')}", id="another secret"),
            pytest.param(f"t={NOW},v1={stripe(body=b'')}", id="another body"),
            pytest.param(f"t={NOW + 1},v1={stripe()}", id="another time"),
            pytest.param(f"t={NOW},v0={stripe()}", id="another version"),
            pytest.param(f"v1={stripe('')}", id="no time"),
            pytest.param(f"t={NOW}", id="no signature"),
            pytest.param(f"t=x,v1={stripe('x')}", id="an invalid time"),
            pytest.param(f"t={NOW - TOLERANCE - 1},v1={stripe(NOW - TOLERANCE - 1)}", id="too old"),
            pytest.param(f"t={NOW + TOLERANCE + 2},v1={stripe(NOW + TOLERANCE + 2)}", id="too new"),
            pytest.param(",=,t=,v1=,", id="nothing but commas"),
            pytest.param("", id="empty"),
        ],
    )
    def test_a_rejected_delivery(self, sent: str) -> None:
        assert not passes(Stripe("whsec_x"), {"Stripe-Signature": sent})


@pytest.mark.parametrize(
    "scheme",
    [
        GitHub("secret1"),
        gitlab_scheme("secret1"),
        gitlab_scheme("whsec_c2VjcmV0MQ=="),
        Stripe("secret1"),
    ],
)
def test_no_secret_is_ever_shown(scheme: Scheme) -> None:
    assert "secret1" not in repr(scheme)
