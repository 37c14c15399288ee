"""Everything of Grayscale that runs; one sub-package per deployable, and `shared` for what they have in common."""
