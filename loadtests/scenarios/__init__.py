"""Load scenarios for locust: each file is one, for `python -m loadtests.scenarios NAME` or `locust -f`."""
