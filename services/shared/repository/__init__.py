"""Where servable models lie."""
