"""The context that the resources of one web process share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pacifica.dispatcher import orm
from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.intake.receiver import Receiver
from pacifica.dispatcher.rest.handshake import Handshake
from pacifica.dispatcher.rest.live import LivePages
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.stream_slots import StreamSlots


@dataclass(frozen=True, slots=True)
class Context:
    """The context that the resources of one web process share.

    Attributes:
        receiver: accepts events and acts on them.
        max_event_size: maximum size of a body in bytes.
        handshake: gives senders permission to deliver.
        slots: the slots for responses that stay open.
        root: the path under which a proxy shows `/`; "" without one.
        default_queue: the Celery queue of applications that name none.
        directory: the parent of the working directories, as seen from this host.
        adapters: all configured adapters by name.
        notices: notices of the ends of runs.
        broker_trouble: returns the reason that the broker accepts no wake-ups, for clients;
            empty if it does.
        live: the content of the open pages.
    """

    receiver: Receiver
    max_event_size: int
    handshake: Handshake
    slots: StreamSlots
    root: str
    default_queue: str
    directory: Path
    adapters: Mapping[str, Adapter]
    notices: Notices
    broker_trouble: Callable[[], str]
    live: LivePages = field(init=False)

    def __post_init__(self) -> None:
        """Connect the open pages to the notices."""
        object.__setattr__(self, "live", LivePages(self.notices))

    @property
    def database(self) -> orm.Database:
        """The database of the receiver."""
        return self.receiver.database

    @property
    def applications(self) -> Mapping[str, Application]:
        """All configured applications by name."""
        return self.receiver.applications

    def unconfigured(self) -> list[str]:
        """Return the applications that are not configured, but paused or have waiting runs."""
        orphans = orm.orphans(self.database, self.applications, self.default_queue)
        waiting = {each.application for each in orphans}
        return sorted({*waiting, *orm.paused(self.database)} - {*self.applications})

    def takers(self, workers: Sequence[orm.WorkerView]) -> orm.Takers:
        """Return what decides whether any of these workers takes a run."""
        return orm.takers(workers, self.applications, self.default_queue)
