"""A network of useful size on pictures that are rendered here: what quantization costs is measured on it."""
