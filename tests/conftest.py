"""Fixtures that several folders use."""

from __future__ import annotations

from tests.support.valkey import empty_valkey, valkey

__all__ = ["empty_valkey", "valkey"]
