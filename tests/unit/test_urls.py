"""URLs as they may be shown."""

import pytest

from pacifica.dispatcher.urls import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hush@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=hush", "postgresql://u@h/d?password=***"),
        (
            "postgresql://u:hush@h/d?sslmode=require&sslpassword=hush&passfile=hush",
            "postgresql://u:***@h/d?sslmode=require&sslpassword=***&passfile=***",
        ),
        ("mysql://u:p@hush@h:3306/d", "mysql://u:***@h:3306/d"),
        (
            "mysql://h/d?PassWd=hush&ssl_key=hush&user=u",
            "mysql://h/d?PassWd=***&ssl_key=***&user=u",
        ),
        ("postgresql://h/d?pass%77ord=hush", "postgresql://h/d?pass%77ord=***"),
        ("redis://:hush@h/0", "redis://:***@h/0"),
        ("redis://h/0?password=hu@hush", "redis://h/0?password=***"),
        ("rediss://h/0?a=1;access_token=hush", "rediss://h/0?a=1;access_token=***"),
        ("amqp://a:hush@h1//;amqp://b:hush@h2//", "amqp://a:***@h1//;amqp://b:***@h2//"),
        ("pyamqp://u:12#hush@h//", "pyamqp://u:***@h//"),
        ("pyamqp://u:12?hush@h//", "pyamqp://u:***@h//"),
        ("redis+socket:///run/r.sock?password=hush", "redis+socket:///run/r.sock?password=***"),
        ("sqlite:///db.sqlite3", "sqlite:///db.sqlite3"),
        ("postgresql://h/d?keepalives_idle=3&application_name=x", None),
        ("postgresql://[::1]:5432/d?password=", None),
        ("hush", None),
        ("", None),
    ],
)
def test_nothing_secret_is_shown(url: str, shown: str | None) -> None:
    assert masked(url) == (url if shown is None else shown)


@pytest.mark.parametrize(
    "name",
    ["password", "PGPASSWORD", "passwd", "pwd", "pw", "secret", "client_secret", "token", "api-key",
     "sslkey", "auth", "credentials", "X-Amz-Signature", "sig", "passphrase"],
)  # fmt: skip
def test_parameters_that_look_secret_are_masked(name: str) -> None:
    assert masked(f"x://h/?a=b&{name}=hush&c=d") == f"x://h/?a=b&{name}=***&c=d"
