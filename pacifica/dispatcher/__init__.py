"""When a CloudEvent arrives, the right application runs, and anyone can see what happened."""
