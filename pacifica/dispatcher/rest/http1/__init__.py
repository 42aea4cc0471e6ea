"""The built-in server: HTTP/1.1 without a thread per connection, strict about framing.

One thread, the loop, reads whole requests and sends what clients are slow to take. The others only
respond, so no client can hold one. cheroot provides the listening socket, TLS, the pool of threads
and the interface to WSGI.
"""

from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.server import Server
from pacifica.dispatcher.rest.http1.syntax import Head

__all__ = ["Head", "Limits", "Server"]
