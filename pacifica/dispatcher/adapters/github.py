"""GitHub's webhooks: one event each.

CloudEvents "GitHub CloudEvents Adapter"; where it has "current time" there is no time.
"""

from dataclasses import replace
from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, header, templates
from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import Event, Received

_ID: Final = (header("X-GitHub-Delivery"),)
_ELSE: Final = ("{data.organization.url}", "{data.sender.url}")
"""What is the source of an event that lacks the one of the document, such as one of a team."""


def _row(
    type_: str, subject: str = "", *time: str, source: str = "repository.url", until: str = ""
) -> Templates:
    """One table of the document; but in `type`, paths into the body are without their `data`."""
    return Templates(
        _ID,
        templates(f"{{data.{source}}}", until=until) + templates(*_ELSE),
        templates(f"com.github.{type_}"),
        templates(subject and f"{{data.{subject}}}"),
        templates(*(f"{{data.{each}}}" for each in time)),
    )


def _thing(name: str, subject: str = "id", **more: str) -> Templates:
    """A table of the most common form: a thing, and what was done to it."""
    return _row(f"{name}.{{data.action}}", f"{name}.{subject}", f"{name}.updated_at", **more)


_OWNER: Final = "repository.owner.url"
_ROWS: Final = {
    "check_run": _row(
        "check_run.{data.action}",
        "check_run.id",
        "check_run.completed_at",
        "check_run.started_at",
    ),
    "check_suite": _thing("check_suite"),
    "commit_comment": replace(
        _row("commit_comment.{data.action}", "comment.id", "comment.updated_at"),
        source=templates("{data.comment.url}/{data.comment.commit_id}"),
    ),
    "content_reference": _row("content_reference.{data.action}", "content_reference.id"),
    "create": _row("create.{data.ref_type}", "ref"),
    "delete": _row("delete.{data.ref_type}", "ref"),
    "deploy_key": _row("deploy_key.{data.action}", "key.id", "key.deleted_at", "key.created_at"),
    "deployment": _row("deployment", "deployment.id", "deployment.updated_at"),
    "deployment_status": _row(
        "deployment_status.{data.deployment_status.state}",
        "deployment_status.url",
        "deployment_status.updated_at",
        source="deployment.url",
    ),
    "fork": _row("fork", "forkee.url", "forkee.created_at"),
    "github_app_authorization": _row("github_app_authorization", source="sender.url"),
    "gollum": _row("gollum"),
    "installation": _thing("installation", source="installation.account.url"),
    "installation_repositories": _row(
        "installation_repository.{data.action}",
        "installation.id",
        "installation.updated_at",
        source="installation.account.url",
    ),
    "issue_comment": _row(
        "issue_comment.{data.action}", "comment.id", "comment.updated_at", source="issue.url"
    ),
    "issues": _thing("issue", "number"),
    "label": _row("label.{data.action}", "label.name"),
    "marketplace_purchase": _row(
        "marketplace_purchase.{data.action}",
        "marketplace_purchase.account.login",
        "effective_date",
        source="sender.url",
        until="/",
    ),
    "member": _row("member.{data.action}", "member.login"),
    "membership": _row("membership.{data.scope}.{data.action}", "member.login", source="team.url"),
    "meta": _row("meta.{data.action}", "hook_id", "hook.updated_at"),
    "milestone": _thing("milestone", "number"),
    "org_block": _row("org_block.{data.action}", "blocked_user.login", source="organization.url"),
    "organization": _row(
        "organization.{data.action}", "membership.user.login", source="organization.url"
    ),
    "page_build": _row("page_build", "build.url", "pusher.updated_at"),
    "project": _thing("project"),
    "project_card": _thing("project_card"),
    "project_column": _thing("project_column"),
    "public": _row("public", "repository.name", "repository.updated_at", source=_OWNER),
    "pull_request": _row("pull_request.{data.action}", "number", "pull_request.updated_at"),
    "pull_request_review": _row(
        "pull_request_review.{data.action}",
        "review.id",
        "review.submitted_at",
        source="pull_request.url",
    ),
    "pull_request_review_comment": _row(
        "pull_request_review_comment.{data.action}",
        "comment.id",
        "pull_request.updated_at",
        source="pull_request.url",
    ),
    "push": _row("push", "ref"),
    "registry_package": _thing("registry_package", "html_url"),
    "release": _thing("release"),
    "release created": _row("release.created", "release.id", "release.created_at"),
    "release published": _row("release.published", "release.id", "release.published_at"),
    "repository": _row(
        "repository.{data.action}", "repository.name", "repository.updated_at", source=_OWNER
    ),
    "repository_import": _row(
        "repository_import", "repository.name", "repository.updated_at", source=_OWNER
    ),
    "repository_vulnerability_alert": _row(
        "repository_vulnerability_alert.{data.action}", "alert.id"
    ),
    "security_advisory": replace(
        _thing("security_advisory", "ghsa_id"), source=templates("github.com")
    ),
    "star": _row("star.{data.action}", "", "starred_at"),
    "status": _row("status", "sha", "updated_at"),
    "team": _row("team.{data.action}", "team.id", "updated_at"),
    "team_add": _row("team_add.{data.action}", "team.id"),
    "watch": _row("watch.{data.action}"),
}
"""The events of the document by the header `X-GitHub-Event`, and some by their action too."""

_NAME: Final = header("X-GitHub-Event")
_ACTION: Final = templates("{data.action}")[0]
_OTHER: Final = Templates(
    _ID,
    templates("{data.repository.url}", *_ELSE),
    templates("com.github.{xgithubevent}.{data.action}", "com.github.{xgithubevent}"),
)
"""Any other event."""


def read(delivered: Event) -> Received:
    """The event of a delivery; none of a `ping`, by which GitHub tries a new webhook.

    Raises:
        EventError: it is none.
    """
    name = _NAME.fill(delivered)
    if not name:
        problem = Problem("/type", f"this is made of {_NAME.text}, which is not there")
        raise EventError("no valid CloudEvent can be made of this", [problem])
    if name == "ping":
        return Received((), batch=True)
    row = _ROWS.get(f"{name} {_ACTION.fill(delivered)}") or _ROWS.get(name, _OTHER)
    return row.read(delivered)
