"""Conversion of GitLab webhooks, by the CloudEvents document "GitLab CloudEvents Adapter".

Unlike in the document, the id is never generated: GitLab sends one.
"""

from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, header_template, parse_templates
from pacifica.dispatcher.events import Event, Received

# webhook-id is signed. It equals Idempotency-Key, which is shared by all retries of a delivery.
# GitLab before 17.4 sends only the last header, which differs for each retry.
_ID: Final = (
    header_template("webhook-id"),
    header_template("Idempotency-Key"),
    header_template("X-Gitlab-Webhook-UUID"),
)

_INSTANCE: Final = header_template("X-Gitlab-Instance")
_HOMEPAGE: Final = "{data.repository.homepage}"
_PROJECT: Final = "{data.project.web_url}"
_CREATED: Final = "{data.object_attributes.created_at}"


def _table(type_: str, subject: str, source: str = _HOMEPAGE, time: str = "") -> Templates:
    """Return the templates of one table; the type omits its last part if that is missing."""
    kind = type_.partition(".{")[0]
    return Templates(
        _ID,
        (*parse_templates(source, _PROJECT, until="#note_"), _INSTANCE),
        parse_templates(f"com.gitlab.{type_}", f"com.gitlab.{kind}"),
        parse_templates(subject),
        parse_templates(time),
    )


def _note(kind: str, source: str = "{data.object_attributes.url}") -> Templates:
    return _table(f"note.{kind}", "{data.object_attributes.id}", source, _CREATED)


_TABLES: Final = {
    "push": _table("push", "{data.checkout_sha}"),
    "tag_push": _table("tag_push", "{data.ref}"),
    "issue": _table("issue.{data.object_attributes.state}", "{data.object_attributes.iid}"),
    "note Commit": _note("commit", "{data.commit.url}"),
    "note MergeRequest": _note("merge_request"),
    "note Issue": _note("issue"),
    "note Snippet": _note("snippet"),
    "merge_request": _table(
        "merge_request.{data.object_attributes.action}",
        "{data.object_attributes.iid}",
        time=_CREATED,
    ),
    "wiki_page": _table(
        "wiki_page.{data.object_attributes.action}", "{data.object_attributes.slug}", _PROJECT
    ),
    "pipeline": _table(
        "pipeline.{data.object_attributes.status}", "{data.object_attributes.id}", _PROJECT
    ),
    "build": _table("job.{data.build_status}", "{data.build_id}"),
}
"""The tables of the document, by `object_kind` and, for a note, the type of its object."""

_OTHER: Final = Templates(
    _ID,
    (*parse_templates(_PROJECT, _HOMEPAGE, "{data.group.web_url}"), _INSTANCE),
    parse_templates(
        "com.gitlab.{data.object_kind}.{data.object_attributes.action}",
        "com.gitlab.{data.object_kind}.{data.action}",
        "com.gitlab.{data.object_kind}",
        "com.gitlab.{data.event_name}",
    ),
)
"""The templates of any other event."""

_NOTE: Final = parse_templates("{data.object_kind} {data.object_attributes.noteable_type}")[0]
_KIND: Final = parse_templates("{data.object_kind}")[0]


def convert_gitlab_delivery(delivery: Event) -> Received:
    """Convert a delivery to its event.

    Raises:
        EventError: not a valid delivery.
    """
    kind = _KIND.fill(delivery)
    table = _TABLES.get(_NOTE.fill(delivery) if kind == "note" else kind, _OTHER)
    return table.convert(delivery)
