"""GitLab's webhooks: one event each.

CloudEvents "GitLab CloudEvents Adapter", but that an id is never invented: GitLab sends one.
"""

from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, header, templates
from pacifica.dispatcher.events import Event, Received

_ID: Final = (
    header("webhook-id"),
    header("Idempotency-Key"),
    header("X-Gitlab-Webhook-UUID"),
)
"""The first is signed and is the second, which is that of all tries of a delivery; GitLab before
17.4 has the last alone, which is of one try."""

_INSTANCE: Final = header("X-Gitlab-Instance")
_HOMEPAGE: Final = "{data.repository.homepage}"
_PROJECT: Final = "{data.project.web_url}"
_CREATED: Final = "{data.object_attributes.created_at}"


def _row(type_: str, subject: str, source: str = _HOMEPAGE, time: str = "") -> Templates:
    """One table of the document; where the last part of the type is not sent, it is left out."""
    kind = type_.partition(".{")[0]
    return Templates(
        _ID,
        (*templates(source, _PROJECT, until="#note_"), _INSTANCE),
        templates(f"com.gitlab.{type_}", f"com.gitlab.{kind}"),
        templates(subject),
        templates(time),
    )


def _note(kind: str, source: str = "{data.object_attributes.url}") -> Templates:
    return _row(f"note.{kind}", "{data.object_attributes.id}", source, _CREATED)


_ROWS: Final = {
    "push": _row("push", "{data.checkout_sha}"),
    "tag_push": _row("tag_push", "{data.ref}"),
    "issue": _row("issue.{data.object_attributes.state}", "{data.object_attributes.iid}"),
    "note Commit": _note("commit", "{data.commit.url}"),
    "note MergeRequest": _note("merge_request"),
    "note Issue": _note("issue"),
    "note Snippet": _note("snippet"),
    "merge_request": _row(
        "merge_request.{data.object_attributes.action}",
        "{data.object_attributes.iid}",
        time=_CREATED,
    ),
    "wiki_page": _row(
        "wiki_page.{data.object_attributes.action}", "{data.object_attributes.slug}", _PROJECT
    ),
    "pipeline": _row(
        "pipeline.{data.object_attributes.status}", "{data.object_attributes.id}", _PROJECT
    ),
    "build": _row("job.{data.build_status}", "{data.build_id}"),
}
"""The events of the document, by `object_kind` and, of a note, by what it stands on."""

_OTHER: Final = Templates(
    _ID,
    (*templates(_PROJECT, _HOMEPAGE, "{data.group.web_url}"), _INSTANCE),
    templates(
        "com.gitlab.{data.object_kind}.{data.object_attributes.action}",
        "com.gitlab.{data.object_kind}.{data.action}",
        "com.gitlab.{data.object_kind}",
        "com.gitlab.{data.event_name}",
    ),
)
"""Any other event."""

_NOTE: Final = templates("{data.object_kind} {data.object_attributes.noteable_type}")[0]
_KIND: Final = templates("{data.object_kind}")[0]


def read(delivered: Event) -> Received:
    """The event of a delivery.

    Raises:
        EventError: it is none.
    """
    kind = _KIND.fill(delivered)
    row = _ROWS.get(_NOTE.fill(delivered) if kind == "note" else kind, _OTHER)
    return row.read(delivered)
