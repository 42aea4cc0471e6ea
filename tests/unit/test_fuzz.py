"""The fuzz seeds, including past findings: each is parsed or rejected in time."""

from pathlib import Path

import pytest

from fuzz import server, targets

CORPUS = Path(targets.__file__).parent / "corpus"
SEEDS = sorted(CORPUS.glob("*/*"))


def test_every_target_has_seeds() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(targets.TARGETS)


def test_the_part_between_two_marks_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs: list[bytes] = []
    monkeypatch.setattr(targets, "TARGETS", {"kept": inputs.append})
    for text in (b"a~bc~d", b"a~bc", b"~~a", b"~a~b~"):
        targets.try_input("kept", text)
    assert len(inputs[0]) == 64 * 1024
    assert inputs[0].startswith(b"abcbc")
    assert inputs[0].endswith(b"bcd")
    assert inputs[1:] == [b"a~bc", b"~~a", b"~a~b~"]


def test_a_slow_input_is_a_finding() -> None:
    with pytest.raises(targets.SlowError):
        targets.try_input("json", b"[1]", 0.0)


def test_a_fault_of_the_server_is_a_finding() -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    fault = server.find_fault(fail, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert "an internal error" in fault
    assert "another client is not served" in fault
    assert "a fault" in fault


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.parent.name}-{seed.stem}")
def test_a_seed(seed: Path) -> None:
    targets.try_input(seed.parent.name, seed.read_bytes())
