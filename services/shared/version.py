"""The version of this distribution, for those who are asked."""

from __future__ import annotations

VERSION = "0.1.0"
