"""Where the time of a request went, over all services that it passed."""
