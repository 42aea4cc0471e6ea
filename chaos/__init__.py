"""Breaks the dispatcher's real tiers at random and checks its promises: `python -m chaos`."""
