"""Conversion of Stripe webhooks, snapshot events and (API version 2) thin ones.

CloudEvents has no document for Stripe; the members are those of Stripe's "The Event object".
"""

from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, parse_templates

EVENT: Final = Templates(
    id=parse_templates("{data.id}"),
    source=parse_templates(
        "https://api.stripe.com/v1/accounts/{data.account}", "https://api.stripe.com"
    ),
    type=parse_templates("com.stripe.{data.type}"),
    subject=parse_templates("{data.data.object.id}", "{data.related_object.id}"),
    time=parse_templates("{data.created}"),
)
"""The templates of every event."""
