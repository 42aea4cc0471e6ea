"""One attempt: its files, its process, its output."""
