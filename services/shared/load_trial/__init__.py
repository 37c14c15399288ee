"""A process that loads one version, runs it, says what came of it, and ends."""
