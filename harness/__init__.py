"""Real servers and tiers for the tests, the chaos suite and the benchmarks."""

from harness.client import Response, http
from harness.ports import free_port, listens
from harness.proxy import Proxy
from harness.tiers import PROGRAM, Site
from harness.waiting import DEADLINE, DeadlineError, until, wait_until

__all__ = [
    "DEADLINE",
    "PROGRAM",
    "DeadlineError",
    "Proxy",
    "Response",
    "Site",
    "free_port",
    "http",
    "listens",
    "until",
    "wait_until",
]
