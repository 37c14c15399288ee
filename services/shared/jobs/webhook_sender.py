"""Delivers webhooks: any number of senders share the job store's outbox, and one that dies is followed by another."""

from __future__ import annotations

import asyncio
import logging
import random

from services.shared.clock import Clock
from services.shared.errors import ServingError, Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.webhook import (
    DELIVERY_HEADER,
    SIGNATURE_HEADER,
    Verdict,
    Webhook,
    body_of,
    next_try_s,
    signature_of,
    verdict_of,
)
from services.shared.keys.base import KeyStore
from services.shared.outbound.base import OutboundClient

_log = logging.getLogger(__name__)

TIMEOUT_S = 10.0  # of one attempt; well below WEBHOOK_LEASE_S
_AT_ONCE = 16  # receivers that hang must not hold up the others
_POLL_S = 1.0


class WebhookSender:
    """What a webhook says is how the job stands at this attempt. It is not signed where its owner has no key."""

    def __init__(
        self,
        store: JobStore,
        outbound: OutboundClient,
        keys: KeyStore,
        clock: Clock,
        source: random.Random,
        *,
        poll_s: float = _POLL_S,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._keys = keys
        self._clock = clock
        self._source = source
        self._poll_s = poll_s

    async def run(self) -> None:
        """Sends what is due until it is cancelled; what is on its way then is sent again by another sender."""
        places = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await places.acquire()
                webhook = await self._next()
                if webhook is None:
                    places.release()
                    await asyncio.sleep(self._poll_s)
                    continue
                delivery = deliveries.create_task(self.deliver(webhook))
                delivery.add_done_callback(lambda _: places.release())

    async def deliver(self, webhook: Webhook) -> Verdict:
        """One attempt, and word of it to the store; a store that is away meanwhile hands the webhook out again."""
        answer = await self._attempt(webhook)
        verdict = verdict_of(answer)
        said = {
            "job_id": webhook.job.job_id,
            "delivery_id": webhook.delivery_id,
            "attempt": webhook.attempt,
            "reason": answer.detail if isinstance(answer, ServingError) else f"status {answer}",
        }
        try:
            if verdict is Verdict.DELIVERED:
                await self._store.webhook_delivered(webhook)
                _log.info("a webhook is delivered", extra=said)
                return verdict
            retry_in_s = self._retry_in_s(webhook) if verdict is Verdict.RETRY else None
            await self._store.webhook_failed(webhook, retry_in_s=retry_in_s)
        except Unavailable as error:
            _log.warning("the job store does not know what came of a webhook", extra={**said, "reason": error.detail})
            return verdict
        if retry_in_s is None:
            _log.warning("a webhook is given up", extra=said)
            return Verdict.GIVE_UP
        _log.info("a webhook was not delivered, and is sent again later", extra=said)
        return verdict

    async def _next(self) -> Webhook | None:
        try:
            return await self._store.claim_webhook()
        except Unavailable:
            return None  # who reaps says so in the log

    async def _attempt(self, webhook: Webhook) -> int | ServingError:
        body = body_of(webhook.job)
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: webhook.delivery_id}
        try:
            secret = await self._secret_of(webhook.job.owner)
            if secret:
                headers[SIGNATURE_HEADER] = signature_of(secret, body, self._clock.now())
            url = webhook.job.request.callback_url
            return await self._outbound.post(url, content=body, headers=headers, timeout_s=TIMEOUT_S)
        except ServingError as error:
            return error
        except Exception:
            _log.exception("sending a webhook raised what it does not promise")
            return Unavailable("sending it raised what it does not promise")

    async def _secret_of(self, owner: str) -> str:
        """A revoked key still signs: the job was accepted from it, and its receiver still checks."""
        if not owner:
            return ""
        key = (await self._keys.keys()).by_id.get(owner)
        return key.webhook_secret if key is not None else ""

    def _retry_in_s(self, webhook: Webhook) -> float | None:
        ended_at = webhook.job.finished_at
        age_s = 0.0 if ended_at is None else self._clock.now() - ended_at
        return next_try_s(webhook.attempt, age_s, self._source)
