"""Notifications of S3, and of stores that speak like it: one event for each record.

CloudEvents "AWS Simple Storage Service CloudEvents Adapter"; the forms are those of Amazon's "Event
message structure" and of MinIO.
"""

import hashlib
import json
from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, templates
from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError, Problem
from pacifica.dispatcher.events import Event, Received, strict_json

_TEST: Final = "s3:TestEvent"
_TYPE: Final = "com.amazonaws.s3."
_RECORD: Final = Templates(
    id=templates("{data.responseElements.x-amz-request-id}", "{data.s3.object.sequencer}"),
    source=templates("{data.eventSource}.{data.awsRegion}.{data.s3.bucket.name}"),
    type=templates(f"{_TYPE}{{data.eventName}}"),
    subject=templates("{data.s3.object.key}"),
    time=templates("{data.eventTime}"),
)
_REQUEST: Final = templates(
    "{data.responseElements.x-amz-request-id}", "{data.responseElements.x-amz-id-2}"
)
_WITHIN: Final = templates(
    "{data.eventName}",
    "{data.eventTime}",
    "{data.s3.object.key}",
    "{data.s3.object.versionId}",
    "{data.s3.object.sequencer}",
)
"""What tells the records of one request apart."""


def read(delivered: Event) -> Received:
    """The events of a notification, as a batch; none of the one by which S3 tries an address.

    Raises:
        EventError: it is no notification, or a record is none; each bad one is named by its index.
    """
    body = delivered.data
    if not isinstance(body, dict):
        raise EventError("a notification is a JSON object with Records")
    if body.get("Event") == _TEST and "Records" not in body:
        return Received((), batch=True)
    records = strict_json.member(delivered.sent, "Records") or ""
    if not records.startswith("["):
        raise EventError("a notification has an array Records")
    events: list[Event] = []
    problems: list[Problem] = []
    for index, (record, text) in enumerate(strict_json.array_elements(records)):
        try:
            events.append(_event(Event(delivered.attributes, record, text)))
        except EventError as exc:
            problems.extend(Problem(f"/{index}{each.where}", each.what) for each in exc.problems)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise EventError(
            "the notification has records that are not valid; none was taken", problems
        )
    return Received(tuple(events), batch=True)


def _event(record: Event) -> Event:
    known = _RECORD.type[0].fill(record)
    return _RECORD.event(
        record,
        id=_identity(record) if any(each.fill(record) for each in _RECORD.id) else "",
        type=known.replace(f"{_TYPE}s3:", _TYPE, 1),  # so that MinIO's are of the types of Amazon's
    )


def _identity(record: Event) -> str:
    """What names a record for good: its request, and its place among the records of that.

    A request that deletes many objects has a record for each; the document's `id` is the same for
    all of them, so a digest of what differs is added.
    """
    request = [text for each in _REQUEST if (text := each.fill(record))]
    within = json.dumps([each.fill(record) for each in _WITHIN])
    return ".".join([*request, hashlib.sha256(within.encode()).hexdigest()[:16]])
