"""Releases: who answers a request, and what is counted about the answers. Pure."""
