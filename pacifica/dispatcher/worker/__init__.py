"""The part of a worker that is not Celery."""
