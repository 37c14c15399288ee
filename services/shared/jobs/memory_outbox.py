"""Webhooks of jobs in this process: who is to be told of which end, and when."""

from __future__ import annotations

from collections.abc import Mapping

from services.shared.jobs.base import WEBHOOK_LEASE_S
from services.shared.jobs.memory_job import KeptJob, Rules
from services.shared.jobs.webhook import Webhook, delivery_id_of


class MemoryOutbox:
    """The webhooks of the jobs in `kept`."""

    def __init__(self, kept: Mapping[str, KeptJob], rules: Rules) -> None:
        self._kept = kept
        self._rules = rules

    def claim(self, token: int) -> Webhook | None:
        """Leased with this token."""
        now = self._rules.clock.now()
        due = [(kept.webhook.at, job_id) for job_id, kept in self._kept.items() if kept.webhook]
        for _, job_id in sorted(entry for entry in due if entry[0] <= now):
            kept = self._kept[job_id]
            if kept.expired() or kept.webhook is None:
                self.drop(kept)
                continue
            kept.webhook.at, kept.webhook.token = now + WEBHOOK_LEASE_S, token
            kept.webhook.attempt += 1
            return Webhook(delivery_id_of(job_id, kept.ends), kept.job, kept.webhook.attempt, token)
        return None

    def delivered(self, webhook: Webhook) -> bool:
        kept = self._held(webhook)
        if kept is not None:
            kept.webhook = None
            self._rules.totals["webhooks_delivered"] += 1
        return kept is not None

    def failed(self, webhook: Webhook, retry_in_s: float | None) -> bool:
        kept = self._held(webhook)
        if kept is None or kept.webhook is None:
            return False
        self._rules.totals["webhooks_failed"] += 1
        if retry_in_s is None:
            self.drop(kept)
        else:
            kept.webhook.at = self._rules.clock.now() + max(0.0, retry_in_s)
        return True

    def drop(self, kept: KeptJob) -> None:
        if kept.webhook is not None:
            kept.webhook = None
            self._rules.totals["webhooks_given_up"] += 1

    def _held(self, webhook: Webhook) -> KeptJob | None:
        kept = self._kept.get(webhook.job.job_id)
        return kept if kept and kept.webhook and kept.webhook.token == webhook.token else None
