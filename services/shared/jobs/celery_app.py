"""The Celery app that wakes workers: one queue for each priority, one task without arguments that only says "work".

Celery keeps nothing that would be missed, so its guarantees are not needed; they are set all the same, as for a task
that matters: acknowledged late, given back when a worker is lost, one at a time.
"""

from __future__ import annotations

from celery import Celery
from kombu.entity import Queue

from services.shared.jobs.celery_broker import VISIBILITY_S, broker_of
from services.shared.priority import Priority
from services.shared.redis_url import parse_redis_url

TASK = "grayscale.work"
QUEUES = {priority: f"grayscale.{priority.name.lower()}" for priority in Priority}


def celery_app(url: str) -> Celery:
    """An app of this process alone, connected to nothing yet; raises SettingsError for an address that is none."""
    broker = broker_of(parse_redis_url(url))
    app = Celery("grayscale", broker=broker.url, set_as_current=False, fixups=set())
    app.conf.update(
        broker_transport_options=dict(broker.options),
        broker_use_ssl=None if broker.tls is None else dict(broker.tls),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        result_backend_transport_options={"visibility_timeout": VISIBILITY_S},
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_queues=[Queue(name) for name in QUEUES.values()],  # type: ignore[no-untyped-call]
        task_default_queue=QUEUES[Priority.NORMAL],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_soft_shutdown_timeout=1.0,
        accept_content=["json"],
    )
    return app
