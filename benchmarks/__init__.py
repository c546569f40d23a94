"""Timings, never pass or fail: each script prints JSON; results are kept in results/."""
