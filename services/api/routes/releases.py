"""Releases: beginning, telling, commanding and ending them, and what is known of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import WithJsonSchema

from services.api.auth import Authenticator, Caller
from services.api.releases.begin import begin_release
from services.api.releases.command import command_release, end_release, shown_release
from services.api.releases.condition import Condition, condition_of, entity_tag
from services.api.releases.document import event_document, points_after, release_document, report_document
from services.api.releases.documented import IF_MATCH_SCHEMA, MOMENT_PATTERN, PLAN_BODY, refused, tagged
from services.api.releases.plan_body import plan_in
from services.api.releases.schemas import EventList, PromoteBody, ReleaseDocument, ReleaseList, Timeline
from services.api.releases.stores import ReleaseStores
from services.api.routes.models import ModelName
from services.shared.clock import Clock
from services.shared.deferred import Deferred
from services.shared.errors import NotFound
from services.shared.model_ref import check_model_name
from services.shared.release.commands import Command, CommandKind
from services.shared.release_store.base import MAX_PAGE, Release, no_such_release

_PATH = "/v1/models/{model}/release"
IfMatch = Annotated[
    str | None,
    Header(description="the ETag of the state that this is meant for"),
    WithJsonSchema(IF_MATCH_SCHEMA),  # a header is there or not, never null
]
Start = Annotated[int, Query(ge=0, le=2**31, description="the first event's index")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="at most so many")]
After = Annotated[
    str | None,
    Query(description="only what is later than this point's `at`", pattern=MOMENT_PATTERN),
    WithJsonSchema({"type": "string", "pattern": MOMENT_PATTERN}),
]


def release_routes(stores: Deferred[ReleaseStores], authenticator: Authenticator, clock: Clock) -> APIRouter:
    """`stores` raises Unavailable where no server keeps releases."""
    router = APIRouter(tags=["releases"])
    _add_state(router, stores, clock)
    _add_commands(router, stores, clock)
    _add_reads(router, stores)
    _add_log(router, stores, authenticator)
    return router


def _answer(release: Release, response: Response) -> ReleaseDocument:
    response.headers["ETag"] = entity_tag(release.revision)
    return ReleaseDocument.model_validate(release_document(release))


def _by(request: Request) -> str:
    """Who says so, for the log of events: writes always come with a key."""
    caller: Caller = request.scope["state"]["caller"]
    return "nobody" if caller.key is None else f"{caller.key.name} ({caller.key.key_id})"


def _add_state(router: APIRouter, stores: Deferred[ReleaseStores], clock: Clock) -> None:
    @router.put(_PATH, status_code=201, responses=tagged(201, 412, 415), openapi_extra=PLAN_BODY)
    async def begin(
        request: Request, response: Response, model: ModelName, if_match: IfMatch = None
    ) -> ReleaseDocument:
        """Begins a release by a plan (YAML or JSON), in place of one that is over. What cannot be read is refused with
        the line and the field."""
        condition, plan = condition_of(if_match), await plan_in(request, check_model_name(model))
        release = await begin_release(await stores.get(), plan, by=_by(request), condition=condition, now=clock.now())
        response.headers["Location"] = _PATH.format(model=model)
        return _answer(release, response)

    @router.get(_PATH, responses=tagged(200))
    async def show(response: Response, model: ModelName) -> ReleaseDocument:
        """Where the release of a name is."""
        return _answer(await shown_release((await stores.get()).releases, check_model_name(model)), response)

    @router.delete(_PATH, responses=tagged(200, 412))
    async def end(request: Request, response: Response, model: ModelName, if_match: IfMatch = None) -> ReleaseDocument:
        """Ends a release: stable answers again. One that is over is archived, and no longer shown; nothing else
        changes."""
        condition, name = condition_of(if_match), check_model_name(model)
        release = await end_release(await stores.get(), name, by=_by(request), condition=condition, clock=clock)
        return _answer(release, response)


def _add_commands(router: APIRouter, stores: Deferred[ReleaseStores], clock: Clock) -> None:
    async def told(model: str, command: Command, condition: Condition, response: Response) -> ReleaseDocument:
        name = check_model_name(model)
        release = await command_release(await stores.get(), name, command, condition=condition, clock=clock)
        return _answer(release, response)

    @router.post(f"{_PATH}/promote", responses=tagged(200, 412))
    async def promote(
        request: Request,
        response: Response,
        model: ModelName,
        body: Annotated[PromoteBody | None, Body()] = None,
        if_match: IfMatch = None,
    ) -> ReleaseDocument:
        """Gives an arm everything, as soon as it is warm, and skips what is left of the plan but for the hold."""
        command = Command(CommandKind.PROMOTE, _by(request), "" if body is None else body.arm)
        return await told(model, command, condition_of(if_match), response)

    @router.post(f"{_PATH}/pause", responses=tagged(200, 412))
    async def pause(
        request: Request, response: Response, model: ModelName, if_match: IfMatch = None
    ) -> ReleaseDocument:
        """Stops the clock of the plan: the weights stay, and guardrails are still watched."""
        return await told(model, Command(CommandKind.PAUSE, _by(request)), condition_of(if_match), response)

    @router.post(f"{_PATH}/resume", responses=tagged(200, 412))
    async def resume(
        request: Request, response: Response, model: ModelName, if_match: IfMatch = None
    ) -> ReleaseDocument:
        """Goes on with the plan: behind a step that waits for a person, else with the step from its beginning."""
        return await told(model, Command(CommandKind.RESUME, _by(request)), condition_of(if_match), response)

    @router.post(f"{_PATH}/rollback", responses=tagged(200, 412))
    async def rollback(
        request: Request, response: Response, model: ModelName, if_match: IfMatch = None
    ) -> ReleaseDocument:
        """Takes every arm's weight away at once."""
        return await told(model, Command(CommandKind.ROLLBACK, _by(request)), condition_of(if_match), response)


def _add_reads(router: APIRouter, stores: Deferred[ReleaseStores]) -> None:
    @router.get("/v1/releases")
    async def list_releases() -> ReleaseList:
        """The release of every name that has one, but for archived ones."""
        found = await (await stores.get()).releases.list()
        releases = [release for _, release in sorted(found.by_model.items()) if not release.archived]
        documents = [ReleaseDocument.model_validate(release_document(release)) for release in releases]
        return ReleaseList(releases=documents, unreadable=sorted(found.unreadable))

    @router.get(f"{_PATH}/report", responses=_REPORT)
    async def report(model: ModelName) -> dict[str, Any]:
        """What the controller's last look found: the numbers of every arm, and of every guardrail both arms' numbers,
        the interval of the difference, the verdict and a sentence that says why."""
        parts = await stores.get()
        state = (await shown_release(parts.releases, check_model_name(model))).state
        look = (await parts.observations.looks([state.release])).get(state.release)
        if look is None:
            raise NotFound(
                f"the release {state.release} has no report yet: the controller makes one within seconds, if one runs "
                "(grayscale controller)"
            )
        return report_document(look)

    @router.get(f"{_PATH}/timeline")
    async def timeline(model: ModelName, after: After = None) -> Timeline:
        """What was in force over time, and what each arm did between one point and the next. Who follows it asks for
        what came `after` the last point that is known."""
        parts, name = await stores.get(), check_model_name(model)
        state = (await shown_release(parts.releases, name)).state
        points = points_after(await parts.observations.points(state.release), after)
        return Timeline.model_validate({"release": state.release, "model": name, "points": points})


def _add_log(router: APIRouter, stores: Deferred[ReleaseStores], authenticator: Authenticator) -> None:
    @router.get(f"{_PATH}/events")
    async def events(request: Request, model: ModelName, start: Start = 0, limit: Limit = 100) -> EventList:
        """The log of a name's releases, archived ones too: who or what changed them, when, from which phase to which,
        and why. It is only ever added to. Which administrator it was is told to administrators."""
        name, store = check_model_name(model), (await stores.get()).releases
        found = await store.events(name, start=start, limit=limit)
        if not found and not start:
            raise no_such_release(name)
        names = await authenticator.is_admin(request.scope)
        documents = [event_document(event, names=names) for event in found]
        return EventList.model_validate({"model": name, "events": documents, "next": start + len(found)})


_REPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "the report of the controller's last look"},
    **refused(404),
}
