"""What is seen of a release: its arms' totals, feedback, what a controller's looks left, and the timeline."""
