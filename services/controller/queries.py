"""The answers of `promql` guardrails: asked beside the looks, so that a slow Prometheus makes no look slow.

A query's text has `$arm` where the arm's name goes. Its value is that of a scalar, or of a vector with one element
(Prometheus, "HTTP API", "Instant queries" and "Expression query result formats"). Anything else is no answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from services.shared.release.plan import PROMQL, Plan
from services.shared.release.routing import SHADOW, STABLE

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

ASK_S = 1.0  # between two rounds of questions
_ANSWER_S = 2.0  # for one answer as a whole
_AT_ONCE = 8
_MAX_BYTES = 2**20


class Queries(Protocol):
    """`number` is of the last round of questions, 0 before the first: the answers are new when it is another."""

    number: int

    def value(self, query: str) -> float | None:
        """The last round's answer to a query with its arm in it; None without one. Asks it from now on, for as long as
        it is wanted again and again."""
        ...


class NoQueries:
    """Where there is no Prometheus."""

    number = 0

    def value(self, query: str) -> float | None:
        return None


class PrometheusQueries:
    """Asks a server whose address the operator chose. Belongs to one event loop; `run` does the asking."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/query"
        self._wanted: set[str] = set()
        self._answers: Mapping[str, float] = {}
        self._said = ""
        self.number = 0

    def value(self, query: str) -> float | None:
        self._wanted.add(query)
        return self._answers.get(query)

    async def run(self) -> None:
        """Until cancelled."""
        import httpx  # 50 ms, which a controller without such guardrails does without

        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_S, limits=limits) as client:
            while True:
                wanted, self._wanted = self._wanted, set()
                if wanted:
                    self._answers = await self._ask_all(client, wanted)
                    self.number += 1
                await asyncio.sleep(ASK_S)

    async def _ask_all(self, client: httpx.AsyncClient, queries: Collection[str]) -> dict[str, float]:
        values = await asyncio.gather(*(self._ask(client, query) for query in queries))
        return {query: value for query, value in zip(queries, values, strict=True) if value is not None}

    async def _ask(self, client: httpx.AsyncClient, query: str) -> float | None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                async with client.stream("POST", self._url, data={"query": query}) as response:
                    body = bytearray()
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > _MAX_BYTES:
                            raise ValueError("the answer is too long")
            value = value_of(json.loads(body))
        except Exception as error:  # whatever it is: other queries, and other releases, go on
            self._tell(query, f"{type(error).__name__}: {error}")
            return None
        if value is None:
            self._tell(query, "the answer is not one number")
        return value

    def _tell(self, query: str, reason: str) -> None:
        if reason != self._said:  # the same every second says no more
            _log.warning("a query of a guardrail has no answer", extra={"query": query, "reason": reason})
        self._said = reason


def value_of(document: Any) -> float | None:
    """The one number of an answer; None where there is none, or it is not finite."""
    try:
        data = document["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "vector" and len(result) == 1:
            result = result[0]["value"]
        elif kind != "scalar":
            return None
        number = float(result[1])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def answers_for(plan: Plan, queries: Queries, *, mirrored: bool = False) -> tuple[dict[str, tuple[float, float]], ...]:
    """For each arm of the plan: a query's text with its values (candidate, stable), where both are known. A limit that
    stable has no part in needs the candidate's alone. `mirrored`: the arm is asked as a shadow, and metrics call it so.
    """
    texts = [(each.query, each.max is None) for each in plan.guardrails if each.metric == PROMQL]
    found: list[dict[str, tuple[float, float]]] = []
    for arm in plan.arms:
        values = {}
        for text, needs_stable in texts:
            candidate = queries.value(text.replace("$arm", SHADOW if mirrored else arm.name))
            stable = queries.value(text.replace("$arm", STABLE)) if needs_stable else math.nan
            if candidate is not None and stable is not None:
                values[text] = (candidate, stable)
        found.append(values)
    return tuple(found)
