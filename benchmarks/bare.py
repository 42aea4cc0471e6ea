"""The baseline of the web tier: CherryPy with a handler that reads the body and responds."""

import argparse

import cherrypy

from pacifica.dispatcher.config import ServerSettings


class Bare:
    """A resource that responds to POST with 202."""

    exposed = True

    def POST(self) -> bytes:  # noqa: N802 - CherryPy's name
        """Read the body and return a small JSON document."""
        cherrypy.request.rfile.read(int(cherrypy.request.headers["Content-Length"]))
        cherrypy.response.status = 202
        cherrypy.response.headers["Content-Type"] = "application/json"
        return b'{"uuid": "01a20997-c0e5-77ee-8e00-a2944b68dfdf", "status": "queued"}\n'


def main() -> None:
    """Serve with the settings of `pacifica.dispatcher.wsgi.serve`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    configuration = {
        "/": {
            "request.dispatch": cherrypy.dispatch.MethodDispatcher(),
            "request.process_request_body": False,
            "request.show_tracebacks": False,
            "tools.log_tracebacks.on": False,
            "tools.trailing_slash.on": False,
        }
    }
    root = Bare()
    root.receive = Bare()  # type: ignore[attr-defined] # CherryPy's resource tree
    application = cherrypy.Application(root, script_name="", config=configuration)
    application.log.access_log.disabled = True
    cherrypy.config.update(
        {
            "server.socket_host": "127.0.0.1",
            "server.socket_port": parser.parse_args().port,
            "server.thread_pool": ServerSettings().threads,
            "server.socket_queue_size": 128,
            "server.max_request_body_size": 0,
            "engine.autoreload.on": False,
            "checker.on": False,
            "log.screen": False,
        }
    )
    cherrypy.tree.graft(application, "")
    cherrypy.engine.signals.subscribe()
    cherrypy.engine.start()
    print(f"Listening on {cherrypy.server.base()}/", flush=True)
    cherrypy.engine.block()


if __name__ == "__main__":
    main()
