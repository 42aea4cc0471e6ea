"""Conversion of notifications of S3 and compatible stores: one event for each record.

By the CloudEvents document "AWS Simple Storage Service CloudEvents Adapter"; the formats are those
of Amazon's "Event message structure" and of MinIO.
"""

import hashlib
import json
from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, parse_templates
from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError, Problem
from pacifica.dispatcher.events import Event, Received, strict_json

_TEST_EVENT: Final = "s3:TestEvent"
_TYPE: Final = "com.amazonaws.s3."
_RECORD: Final = Templates(
    id=parse_templates("{data.responseElements.x-amz-request-id}", "{data.s3.object.sequencer}"),
    source=parse_templates("{data.eventSource}.{data.awsRegion}.{data.s3.bucket.name}"),
    type=parse_templates(f"{_TYPE}{{data.eventName}}"),
    subject=parse_templates("{data.s3.object.key}"),
    time=parse_templates("{data.eventTime}"),
)
_REQUEST: Final = parse_templates(
    "{data.responseElements.x-amz-request-id}", "{data.responseElements.x-amz-id-2}"
)
# The members that distinguish the records of one request.
_WITHIN: Final = parse_templates(
    "{data.eventName}",
    "{data.eventTime}",
    "{data.s3.object.key}",
    "{data.s3.object.versionId}",
    "{data.s3.object.sequencer}",
)


def convert_s3_notification(delivery: Event) -> Received:
    """Convert a notification to a batch of events; S3's test notification has none.

    Raises:
        EventError: not a notification, or invalid records, each named by its index.
    """
    body = delivery.data
    if not isinstance(body, dict):
        raise EventError("A notification must be a JSON object with Records")
    if body.get("Event") == _TEST_EVENT and "Records" not in body:
        return Received((), batch=True)
    records = strict_json.member_text(delivery.sent, "Records") or ""
    if not records.startswith("["):
        raise EventError("Records of a notification must be an array")
    events: list[Event] = []
    problems: list[Problem] = []
    for index, (record, text) in enumerate(strict_json.array_elements(records)):
        try:
            events.append(_event(Event(delivery.attributes, record, text)))
        except EventError as exc:
            problems.extend(Problem(f"/{index}{each.where}", each.what) for each in exc.problems)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise EventError("The notification contains invalid records; none was accepted", problems)
    return Received(tuple(events), batch=True)


def _event(record: Event) -> Event:
    type_ = _RECORD.type[0].fill(record)
    return _RECORD.build_event(
        record,
        id=_record_id(record) if any(each.fill(record) for each in _RECORD.id) else "",
        type=type_.replace(f"{_TYPE}s3:", _TYPE, 1),  # MinIO's event names begin with s3:
    )


def _record_id(record: Event) -> str:
    """Return an id that is stable across retries, and unique within a request.

    A request that deletes many objects has one record for each; the document's `id` is the same
    for all of them, so a digest of their differences is appended.
    """
    request = [text for each in _REQUEST if (text := each.fill(record))]
    within = json.dumps([each.fill(record) for each in _WITHIN])
    return ".".join([*request, hashlib.sha256(within.encode()).hexdigest()[:16]])
