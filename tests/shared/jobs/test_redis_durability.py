"""What shows that a write is on disk: a table of servers."""

import pytest

from services.shared.errors import Unavailable
from services.shared.jobs.redis_durability import Proof, proof_of

VALKEY = {"server_name": "valkey", "valkey_version": "9.1.2", "redis_version": "7.2.4"}


@pytest.mark.parametrize(
    ("config", "info", "expected"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, VALKEY, Proof.ANSWER),
        ({"appendonly": "yes", "appendfsync": "always"}, {"redis_version": "6.2.0"}, Proof.ANSWER),
        ({"appendonly": "yes", "appendfsync": "everysec"}, {"redis_version": "8.0.1"}, Proof.WAITAOF),
        ({"appendonly": "yes", "appendfsync": "everysec"}, {"redis_version": 8.2}, Proof.WAITAOF),
        ({"appendonly": "yes", "appendfsync": "everysec"}, {"redis_version": "7.4.2"}, Proof.PERIOD),
        ({"appendonly": "yes", "appendfsync": "everysec"}, {"redis_version": "6.2.0"}, Proof.PERIOD),
        ({"appendonly": "yes", "appendfsync": "everysec"}, VALKEY, Proof.PERIOD),
        ({"appendonly": "yes", "appendfsync": "everysec"}, {**VALKEY, "redis_version": "8.0.0"}, Proof.PERIOD),
    ],
)
def test_how_a_write_is_known_to_be_on_disk(
    config: dict[str | None, str | None], info: dict[str, object], expected: Proof
) -> None:
    assert proof_of({**config, "no-appendfsync-on-rewrite": "no"}, info) is expected


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"appendonly": "no", "appendfsync": "always"}, "set `appendonly yes`"),
        ({}, "set `appendonly yes`"),
        ({"appendonly": "yes", "appendfsync": "no"}, "`appendfsync no`: set `everysec` or `always`"),
        ({"appendonly": "yes", "appendfsync": "everysec", "no-appendfsync-on-rewrite": "yes"}, "on-rewrite no"),
    ],
)
def test_a_server_that_cannot_know_is_refused(config: dict[str | None, str | None], reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        proof_of(config, VALKEY)
