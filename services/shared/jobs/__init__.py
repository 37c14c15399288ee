"""Jobs: what was accepted, who works on it, and what came of it."""
