"""Break the dispatcher's real tiers at random and check its guarantees: `python -m chaos`."""
