"""Network architectures, by the names that a recipe uses."""
