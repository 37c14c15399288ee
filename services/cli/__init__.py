"""The command `grayscale`."""
