"""The bytes of images that wait for a worker."""
