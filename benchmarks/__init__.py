"""Measure the dispatcher's real tiers on this machine: `python -m benchmarks`."""
