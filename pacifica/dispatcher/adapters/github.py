"""Conversion of GitHub webhooks, by the CloudEvents document "GitHub CloudEvents Adapter".

Where the document prescribes the current time, the event has no time.
"""

from dataclasses import replace
from typing import Final

from pacifica.dispatcher.adapters.templates import Templates, header_template, parse_templates
from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import Event, Received

_ID: Final = (header_template("X-GitHub-Delivery"),)
# The source of an event without the source prescribed by the document, such as one of a team.
_FALLBACK_SOURCES: Final = ("{data.organization.url}", "{data.sender.url}")


def _table(
    type_: str, subject: str = "", *time: str, source: str = "repository.url", until: str = ""
) -> Templates:
    """Return the templates of one table; all paths but those in `type_` are below `data`."""
    return Templates(
        _ID,
        parse_templates(f"{{data.{source}}}", until=until) + parse_templates(*_FALLBACK_SOURCES),
        parse_templates(f"com.github.{type_}"),
        parse_templates(subject and f"{{data.{subject}}}"),
        parse_templates(*(f"{{data.{each}}}" for each in time)),
    )


def _action_on(name: str, subject: str = "id", **more: str) -> Templates:
    """Return the templates of the most common form of table: an action on an object."""
    return _table(f"{name}.{{data.action}}", f"{name}.{subject}", f"{name}.updated_at", **more)


_OWNER: Final = "repository.owner.url"
_TABLES: Final = {
    "check_run": _table(
        "check_run.{data.action}",
        "check_run.id",
        "check_run.completed_at",
        "check_run.started_at",
    ),
    "check_suite": _action_on("check_suite"),
    "commit_comment": replace(
        _table("commit_comment.{data.action}", "comment.id", "comment.updated_at"),
        source=parse_templates("{data.comment.url}/{data.comment.commit_id}"),
    ),
    "content_reference": _table("content_reference.{data.action}", "content_reference.id"),
    "create": _table("create.{data.ref_type}", "ref"),
    "delete": _table("delete.{data.ref_type}", "ref"),
    "deploy_key": _table("deploy_key.{data.action}", "key.id", "key.deleted_at", "key.created_at"),
    "deployment": _table("deployment", "deployment.id", "deployment.updated_at"),
    "deployment_status": _table(
        "deployment_status.{data.deployment_status.state}",
        "deployment_status.url",
        "deployment_status.updated_at",
        source="deployment.url",
    ),
    "fork": _table("fork", "forkee.url", "forkee.created_at"),
    "github_app_authorization": _table("github_app_authorization", source="sender.url"),
    "gollum": _table("gollum"),
    "installation": _action_on("installation", source="installation.account.url"),
    "installation_repositories": _table(
        "installation_repository.{data.action}",
        "installation.id",
        "installation.updated_at",
        source="installation.account.url",
    ),
    "issue_comment": _table(
        "issue_comment.{data.action}", "comment.id", "comment.updated_at", source="issue.url"
    ),
    "issues": _action_on("issue", "number"),
    "label": _table("label.{data.action}", "label.name"),
    "marketplace_purchase": _table(
        "marketplace_purchase.{data.action}",
        "marketplace_purchase.account.login",
        "effective_date",
        source="sender.url",
        until="/",
    ),
    "member": _table("member.{data.action}", "member.login"),
    "membership": _table(
        "membership.{data.scope}.{data.action}", "member.login", source="team.url"
    ),
    "meta": _table("meta.{data.action}", "hook_id", "hook.updated_at"),
    "milestone": _action_on("milestone", "number"),
    "org_block": _table("org_block.{data.action}", "blocked_user.login", source="organization.url"),
    "organization": _table(
        "organization.{data.action}", "membership.user.login", source="organization.url"
    ),
    "page_build": _table("page_build", "build.url", "pusher.updated_at"),
    "project": _action_on("project"),
    "project_card": _action_on("project_card"),
    "project_column": _action_on("project_column"),
    "public": _table("public", "repository.name", "repository.updated_at", source=_OWNER),
    "pull_request": _table("pull_request.{data.action}", "number", "pull_request.updated_at"),
    "pull_request_review": _table(
        "pull_request_review.{data.action}",
        "review.id",
        "review.submitted_at",
        source="pull_request.url",
    ),
    "pull_request_review_comment": _table(
        "pull_request_review_comment.{data.action}",
        "comment.id",
        "pull_request.updated_at",
        source="pull_request.url",
    ),
    "push": _table("push", "ref"),
    "registry_package": _action_on("registry_package", "html_url"),
    "release": _action_on("release"),
    "release created": _table("release.created", "release.id", "release.created_at"),
    "release published": _table("release.published", "release.id", "release.published_at"),
    "repository": _table(
        "repository.{data.action}", "repository.name", "repository.updated_at", source=_OWNER
    ),
    "repository_import": _table(
        "repository_import", "repository.name", "repository.updated_at", source=_OWNER
    ),
    "repository_vulnerability_alert": _table(
        "repository_vulnerability_alert.{data.action}", "alert.id"
    ),
    "security_advisory": replace(
        _action_on("security_advisory", "ghsa_id"), source=parse_templates("github.com")
    ),
    "star": _table("star.{data.action}", "", "starred_at"),
    "status": _table("status", "sha", "updated_at"),
    "team": _table("team.{data.action}", "team.id", "updated_at"),
    "team_add": _table("team_add.{data.action}", "team.id"),
    "watch": _table("watch.{data.action}"),
}
"""The tables of the document by the header `X-GitHub-Event`, some also by action."""

_NAME: Final = header_template("X-GitHub-Event")
_ACTION: Final = parse_templates("{data.action}")[0]
_OTHER: Final = Templates(
    _ID,
    parse_templates("{data.repository.url}", *_FALLBACK_SOURCES),
    parse_templates("com.github.{xgithubevent}.{data.action}", "com.github.{xgithubevent}"),
)
"""The templates of any other event."""


def convert_github_delivery(delivery: Event) -> Received:
    """Convert a delivery to its event; a `ping`, which tests a new webhook, has none.

    Raises:
        EventError: not a valid delivery.
    """
    name = _NAME.fill(delivery)
    if not name:
        problem = Problem("/type", f"is required, but the delivery has no value for {_NAME.label}")
        raise EventError("Cannot make a valid CloudEvent from this delivery", [problem])
    if name == "ping":
        return Received((), batch=True)
    table = _TABLES.get(f"{name} {_ACTION.fill(delivery)}") or _TABLES.get(name, _OTHER)
    return table.convert(delivery)
