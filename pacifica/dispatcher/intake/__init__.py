"""Intake: store events and act on them."""
