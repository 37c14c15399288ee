"""The routes that FastAPI serves; the hot one is in `services.api.predict`."""
