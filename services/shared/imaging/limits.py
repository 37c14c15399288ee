"""What a picture may come to at most, unless an operator says otherwise. Settings import this, and no decoder."""

MAX_PIXELS = 100_000_000
