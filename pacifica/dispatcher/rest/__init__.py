"""CherryPy resources: HTTP in, JSON out; an error becomes its status in one table."""

from pacifica.dispatcher.rest.resources import RESOURCES, Service, application

__all__ = ["RESOURCES", "Service", "application"]
