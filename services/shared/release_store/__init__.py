"""Where the releases' state is kept."""
