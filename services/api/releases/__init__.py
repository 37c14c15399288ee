"""Releases as the API takes, tells and commands them; `services.api.routes.releases` has the routes."""
