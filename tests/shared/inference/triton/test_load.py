"""Loads and unloads on a server that knows nothing of single versions, as NVIDIA Triton."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.shared.errors import InferenceFailed, NotFound
from services.shared.inference.base import IndexEntry
from services.shared.inference.fake import FakeInference
from services.shared.inference.triton.client import TritonInference
from services.shared.model_ref import ModelRef
from tests.support.fake_models import classifier
from tests.support.triton_shaped_server import TritonShapedServicer, start_server

REF = ModelRef("pets", 1)


@dataclass(frozen=True, slots=True)
class Remote:
    fake: FakeInference
    servicer: TritonShapedServicer
    client: TritonInference


@pytest.fixture
async def remote(socket: str) -> AsyncIterator[Remote]:
    fake = FakeInference([classifier()])
    servicer = TritonShapedServicer(fake)
    server, address = await start_server(servicer, socket)
    client = TritonInference(address)
    yield Remote(fake, servicer, client)
    await client.close()
    await server.stop(0)


async def test_a_server_without_versioned_loads_gets_a_config_that_keeps_what_answers(remote: Remote) -> None:
    await remote.client.load("pets", 2)
    override = remote.servicer.loads[-1]
    assert override is not None
    assert override["version_policy"] == {"specific": {"versions": ["1", "2"]}}
    assert override["input"][0]["name"] == "image"
    assert await remote.client.ready(REF)
    await remote.client.unload("pets", 1)
    assert not await remote.client.ready(REF)
    assert await remote.client.ready(ModelRef("pets", 2))


async def test_a_model_of_which_nothing_is_loaded_keeps_its_own_config_in_the_override(remote: Remote) -> None:
    await remote.client.unload("pets")
    await remote.client.load("pets", 2)
    assert remote.servicer.loads[0] is None
    assert remote.servicer.loads[1] is not None
    assert remote.servicer.loads[1]["version_policy"] == {"specific": {"versions": ["2"]}}
    assert remote.servicer.loads[1]["max_batch_size"] == 8
    assert await remote.client.ready(ModelRef("pets", 2))
    assert not await remote.client.ready(REF)


async def test_the_last_version_is_unloaded_as_the_whole_model(remote: Remote) -> None:
    await remote.client.unload("pets", 1)
    assert remote.servicer.loads == []
    assert not await remote.client.ready(REF)


async def test_a_version_that_triton_passes_over_is_not_loaded(remote: Remote) -> None:
    with pytest.raises(NotFound, match="the model server has no version 9 of pets"):
        await remote.client.load("pets", 9)
    assert await remote.client.ready(REF)


async def test_a_version_that_triton_could_not_load_is_told_of_with_its_reason(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = (IndexEntry("pets", 1, "READY"), IndexEntry("pets", 2, "UNAVAILABLE", "no memory"))

    async def failed() -> tuple[IndexEntry, ...]:
        return index

    monkeypatch.setattr(remote.fake, "index", failed)
    with pytest.raises(InferenceFailed, match="pets/2 was not loaded: no memory"):
        await remote.client.load("pets", 2)


async def test_an_unload_of_what_triton_does_not_know_is_not_called_a_success(remote: Remote) -> None:
    for version in (None, 2):
        with pytest.raises(NotFound, match=r"nobody.* is not loaded"):
            await remote.client.unload("nobody", version)
    assert remote.servicer.loads == []


@pytest.mark.parametrize(
    ("there", "before", "loads"),
    [
        ({1}, {1}, ["latest 2", "as the file says"]),
        ({1, 2}, {2}, ["latest 2", "as the file says"]),
        ({1, 2}, {1}, ["latest 2", "1 2"]),
        ({1, 2, 3}, {1, 2}, ["latest 3", "1 2 3"]),
        ({1, 2, 3}, {1}, ["latest 2", "1 3"]),  # the first puts 1 away, the second brings it back
    ],
    ids=["one version", "the highest", "an older one", "several", "one that is far behind"],
)
async def test_a_load_by_policy_leaves_what_answers(
    remote: Remote, there: set[int], before: set[int], loads: list[str]
) -> None:
    """`there` are the versions in the repository, of which those in `before` answer; the policy is the latest one."""
    remote.fake.add(classifier(versions=tuple(there)))
    for version in before:
        await remote.fake.load("pets", version)
    for version in await ready_versions(remote) - before:
        await remote.fake.unload("pets", version)
    await remote.client.load("pets")
    assert [_policy(override) for override in remote.servicer.loads] == loads
    assert before <= await ready_versions(remote)


async def ready_versions(remote: Remote) -> set[int]:
    return {each.version or 0 for each in await remote.fake.index() if each.name == "pets" and each.state == "READY"}


def _policy(override: dict[str, Any] | None) -> str:
    if override is None:
        return "as the file says"
    policy = override["version_policy"]
    return (
        f"latest {policy['latest']['num_versions']}" if "latest" in policy else " ".join(policy["specific"]["versions"])
    )


async def test_a_policy_of_all_versions_takes_nothing_away(remote: Remote) -> None:
    message = remote.fake.models["pets"].config.message
    message.version_policy.all.SetInParent()
    await remote.client.load("pets")
    assert remote.servicer.loads == [None]


async def test_what_is_missing_is_brought_back_beside_what_answers(remote: Remote) -> None:
    await remote.client.bring_back("pets", [2])
    assert await remote.client.ready(REF)
    assert await remote.client.ready(ModelRef("pets", 2))
