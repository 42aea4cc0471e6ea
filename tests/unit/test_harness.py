"""The harness: what the tests rely on."""

import pytest

from harness import ports


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.free_port()
    monkeypatch.setattr(ports, "_RANGE", range(first, first + 20))
    assert ports.free_port() != first
