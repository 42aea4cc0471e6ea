"""Deliveries of Stripe, as in its documentation."""

import pytest

from pacifica.dispatcher.adapters.stripe import EVENT
from pacifica.dispatcher.events import Json
from tests.unit.adapters.deliveries import made, missing

SNAPSHOT: dict[str, Json] = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-01",
    "created": 1795453057,
    "data": {"object": {"id": "in_1", "object": "invoice", "amount_due": 1000}},
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": None, "idempotency_key": None},
    "type": "invoice.paid",
}
THIN: dict[str, Json] = {
    "id": "evt_test_2",
    "object": "v2.core.event",
    "created": "2026-11-23T16:57:37.123Z",
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
    "type": "v1.billing.meter.error_report_triggered",
}


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (
            SNAPSHOT,
            {
                "id": "evt_1",
                "source": "https://api.stripe.com",
                "type": "com.stripe.invoice.paid",
                "subject": "in_1",
                "time": "2026-11-23T16:57:37Z",
            },
        ),
        (
            {**SNAPSHOT, "account": "acct_1", "data": {"object": {"object": "balance"}}},
            {
                "id": "evt_1",
                "source": "https://api.stripe.com/v1/accounts/acct_1",
                "type": "com.stripe.invoice.paid",
                "time": "2026-11-23T16:57:37Z",
            },
        ),
        (
            THIN,
            {
                "id": "evt_test_2",
                "source": "https://api.stripe.com",
                "type": "com.stripe.v1.billing.meter.error_report_triggered",
                "subject": "mtr_1",
                "time": "2026-11-23T16:57:37.123Z",
            },
        ),
    ],
    ids=["a snapshot", "a connected account and an object without an id", "a thin event"],
)
def test_an_event(body: dict[str, Json], attributes: dict[str, Json]) -> None:
    assert made(EVENT.convert, body) == attributes


@pytest.mark.parametrize("body", [{}, [], "evt_1", None, {"id": None, "type": None}])
def test_missing_parts_are_named(body: Json) -> None:
    assert missing(EVENT.convert, body) == {
        "/id": "is required, but the delivery has no value for {data.id}",
        "/type": "is required, but the delivery has no value for com.stripe.{data.type}",
    }
