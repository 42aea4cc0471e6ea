"""The requested attempt of a run, and the files that it left."""

import socket
from collections.abc import Sequence

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.execution.artifacts import MAX_FILES, Artifact, list_artifacts
from pacifica.dispatcher.execution.workdir import Workdir
from pacifica.dispatcher.rest.context import Context


def number_of(view: orm.RunView, attempt: int | None) -> int:
    """Return the number of the requested attempt, by default the last one.

    Raises:
        NotFoundError: the run has no such attempt.
    """
    if attempt is None:
        return view.attempt
    if not 1 <= attempt <= view.attempt:
        raise NotFoundError(f"No attempt {attempt} of run {view.uuid}")
    return attempt


def files_of(
    context: Context, view: orm.RunView, attempts: Sequence[orm.AttemptView], number: int
) -> tuple[Sequence[Artifact], str | None]:
    """Return the files that an attempt left, and the reason if there are none or not all."""
    directory = context.directory
    try:
        found, whole = list_artifacts(
            directory, Workdir.of(directory, view.uuid, number).parts(directory)
        )
    except NotFoundError as exc:
        host = attempts[number - 1].host if number else None
        return [], _reason(context, view, host, exc)
    if not whole:
        return found, f"The working directory has more files; at most {MAX_FILES} are listed"
    return found, None if found else "The working directory has no files"


def _reason(context: Context, view: orm.RunView, host: str | None, exc: NotFoundError) -> str:
    if host is None:
        return "No attempt has started yet"
    application = context.applications.get(view.application)
    keep = f" (keep = {application.keep.value})" if application else ""
    if host == socket.gethostname():
        return f"The working directory was not kept{keep}, or has been removed: {exc}"
    return f"The working directory is on host {host}, if it was kept{keep}: {exc}"
