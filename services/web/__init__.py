"""The pages that people look at, and the way from them to the API."""
