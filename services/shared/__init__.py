"""The one home of code that two deployables use; see CONTRIBUTING.md for who may import whom."""
