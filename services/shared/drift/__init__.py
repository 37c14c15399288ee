"""Whether the pictures that come are still like those that the model was tried on."""
