"""The built-in handlers add and mul."""

import pytest

from pacifica.dispatcher.arithmetic import add, mul
from pacifica.dispatcher.events import Json
from tests.unit.conftest import make_event


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
def test_the_sum_and_the_product(data: Json, total: int, product: int) -> None:
    event = make_event(data=data)
    assert (add(event), mul(event)) == (total, product)


@pytest.mark.parametrize(
    "data", [[1, "2"], [1.0], [None], [True, 1], [[1]], {"a": 1}, "12", 12, None], ids=repr
)
def test_anything_but_integers_is_refused(data: Json) -> None:
    event = make_event(data=data)
    for handler in (add, mul):
        with pytest.raises(TypeError, match="integers"):
            handler(event)


def test_an_event_without_data_is_refused() -> None:
    with pytest.raises(TypeError, match="the data must be a list of integers"):
        add(make_event())
