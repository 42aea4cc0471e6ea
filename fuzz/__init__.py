"""Fuzzing of every parser of untrusted or operator input."""
