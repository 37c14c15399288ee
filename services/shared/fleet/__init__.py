"""Which models every serving process must have, and who has what."""
