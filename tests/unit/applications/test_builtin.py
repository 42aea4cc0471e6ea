"""The built-in applications add and mul."""

import pytest

from pacifica.dispatcher.applications.builtin import add, mul
from pacifica.dispatcher.events import Json
from tests.factories import make_event


@pytest.mark.parametrize(
    ("data", "total", "product"),
    [
        pytest.param([2, 2], 4, 4, id="two"),
        pytest.param([3], 3, 3, id="one"),
        pytest.param([], 0, 1, id="none"),
        pytest.param([-2, 3, 0], 1, 0, id="negative and zero"),
        pytest.param([10**100, 10**100], 2 * 10**100, 10**200, id="large"),
    ],
)
def test_sum_and_product(data: Json, total: int, product: int) -> None:
    event = make_event(data=data)
    assert (add(event), mul(event)) == (total, product)


@pytest.mark.parametrize(
    "data", [[1, "2"], [1.0], [None], [True, 1], [[1]], {"a": 1}, "12", 12, None], ids=repr
)
def test_other_data_is_rejected(data: Json) -> None:
    event = make_event(data=data)
    for handler in (add, mul):
        with pytest.raises(TypeError, match="integers"):
            handler(event)


def test_an_event_without_data_is_rejected() -> None:
    with pytest.raises(TypeError, match="data must be a list of integers"):
        add(make_event())
