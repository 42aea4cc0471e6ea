"""Celery's configuration, for workers and for publishers."""

import os
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pacifica.dispatcher.broker import rabbitmq, redis, transports
from pacifica.dispatcher.config import CelerySettings
from pacifica.dispatcher.telemetry import WARNING, emit

TASK: Final = "pacifica.dispatcher.run"
"""The name of the one task; its argument is the uuid of a due run."""

_FOREIGN: Final = "CELERY"
"""The beginning of the environment variables that would override our configuration of Celery."""


def ignore_environment() -> None:
    """Remove what would override the settings from this process's environment, and log it.

    Celery prefers $CELERY_BROKER_URL and the like to its configuration, reads a module named by
    $CELERY_CONFIG_MODULE, and takes each option of its commands from a variable.
    """
    found = sorted(name for name in os.environ if name.startswith(_FOREIGN))
    own = os.environ.get("BROKER_URL")  # Celery's command copies it
    for name in found:
        if os.environ.pop(name) != own or name != "CELERY_BROKER_URL":
            emit("environment.ignored", WARNING, variable=name)


def celery_configuration(settings: CelerySettings) -> dict[str, object]:
    """Return Celery's configuration.

    Wake-ups are acknowledged early and kept only in the broker's memory, because the database knows
    which runs are waiting and recovers lost ones. Celery's mailboxes for remote control belong to
    the installation and are not exclusive: otherwise RabbitMQ would keep a worker from starting
    while another program's worker has the same name, or its predecessor still holds a connection.

    Workers do not wait for confirmation of what they publish, which is for remote control only:
    while RabbitMQ blocks publishers, they would take no work.
    """
    transports.install()
    url, scheme = settings.broker_url, urlsplit(settings.broker_url).scheme
    options: dict[str, object] = {}
    if scheme == "filesystem":
        url, options = "filesystem://", _folders(Path(unquote(urlsplit(url).path)))
    elif scheme == "amqp":
        url = f"pyamqp{url[len(scheme) :]}"  # for amqp, kombu may choose another library
    elif "redis" in scheme:
        options = dict(redis.OPTIONS)
    return {
        "broker_url": url,
        "broker_use_ssl": _tls(scheme, settings),
        "broker_channel_error_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": rabbitmq.TIMEOUT,
        "broker_heartbeat": 10,  # seconds, until a silent connection is noticed
        "broker_transport_options": options,
        "control_exchange": f"dispatcher-{settings.queue}",
        "control_queue_durable": True,
        "control_queue_exclusive": False,
        "task_default_queue": settings.queue,
        "task_default_delivery_mode": "transient",
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
        # Without effect, as wake-ups are acknowledged early; Celery would warn of the defaults.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "worker_enable_prefetch_count_reduction": False,
    }


def _folders(folder: Path) -> dict[str, object]:
    messages, control = folder / "messages", folder / "control"
    for each in (messages, control):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "polling_interval": 0.02,  # seconds
    }


def _tls(scheme: str, settings: CelerySettings) -> Any:  # noqa: ANN401 - as the transport wants it
    """Return the options of TLS: the server's certificate and name are verified."""
    required = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    authorities = str(settings.ca_bundle) if settings.ca_bundle else None
    if scheme == "rediss":
        return {
            "ssl_cert_reqs": required,
            "ssl_check_hostname": settings.verify,
            "ssl_ca_certs": authorities,
        }
    if scheme == "amqps":
        options: dict[str, object] = {"cert_reqs": required, "ca_certs": authorities}
        if settings.verify:  # kombu would look for 127.0.0.1 in the certificate of localhost
            options["server_hostname"] = urlsplit(settings.broker_url).hostname
        return options
    return False
