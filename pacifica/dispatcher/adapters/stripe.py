"""Stripe's webhooks: one event each, a snapshot or (of API version 2) a thin one.

CloudEvents has no document for it; Stripe's "The Event object" says what there is.
"""

from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, templates

EVENT: Final = Templates(
    id=templates("{data.id}"),
    source=templates("https://api.stripe.com/v1/accounts/{data.account}", "https://api.stripe.com"),
    type=templates("com.stripe.{data.type}"),
    subject=templates("{data.data.object.id}", "{data.related_object.id}"),
    time=templates("{data.created}"),
)
"""What the attributes are made of."""
