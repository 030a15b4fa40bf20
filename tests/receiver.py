"""A web server that takes reports, as a webhook or as a MISP: `python tests/receiver.py PORT FILE [misp]`.

What it takes it writes down, one JSON object a line, on the disk before it answers. It knows ids: what comes
again under one that it has is answered like the first time, and written down as such.
"""

import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VERSION = {"version": "2.5.0", "perm_sync": False}


class Receiver(ThreadingHTTPServer):
    """The server.

    Args:
        port: on loopback.
        path: of the file.
        misp: whether it answers as a MISP does.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, path: Path, misp: bool) -> None:
        self.misp = misp
        self.lock = threading.Lock()
        self.known = {entry["id"] for entry in entries(path)}
        self.file = path.open("ab", buffering=0)
        super().__init__(("127.0.0.1", port), Talk)

    def take(self, name: str, body: bytes) -> bool:
        """Write it down; whether it was new."""
        with self.lock:
            new = name not in self.known
            self.known.add(name)
            entry = {"id": name, "new": new, "body": base64.b64encode(body).decode()}
            self.file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self.file.fileno())
        return new


class Talk(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver

    def do_OPTIONS(self) -> None:
        self._say(204)

    def do_GET(self) -> None:
        self._say(200, VERSION)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.misp:
            self.server.take(self.headers["webhook-id"], body)
            self._say(204)
            return
        event = json.loads(body).get("Event") or json.loads(body)
        if self.server.take(event["uuid"], body):
            self._say(200, {"Event": {"id": str(len(self.server.known)), "uuid": event["uuid"]}})
        else:
            self._say(
                403, {"name": "Event already exists, if you would like to edit it, use the url", "errors": ""}
            )

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _say(self, status: int, what: Any = None) -> None:
        body = json.dumps(what).encode() if what else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


def entries(path: Path) -> list[dict[str, Any]]:
    """What was written down; not the line at which it was killed."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    Receiver(int(sys.argv[1]), Path(sys.argv[2]), "misp" in sys.argv).serve_forever()
