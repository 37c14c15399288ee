"""The one way in which this application calls addresses that somebody else chose: images by URL, webhooks."""
