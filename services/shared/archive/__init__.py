"""Zip archives from strangers: what is in one, or a sentence that says why it is not opened."""
