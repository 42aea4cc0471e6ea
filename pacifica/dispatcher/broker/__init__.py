"""The broker: sending of wake-ups, and the file transport."""
