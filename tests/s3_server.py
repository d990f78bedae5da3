"""Serve S3 by moto in a process: `python -m tests.s3_server PORT RECORDING`.

moto keeps objects in memory. Every request is appended to a recording, which the next process plays back before it
listens to anybody else, so that what was answered outlasts a kill -9; for that an upload's number must be the same the
next time.
"""

import json
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from moto.moto_api import recorder
from moto.s3 import models
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

_numbers = count()
_made = models.FakeMultipart.__init__


def _numbered(self: Any, *given: Any, **named: Any) -> None:
    _made(self, *given, **named)
    self.id = sha256(f"{self.key_name} {next(_numbers)}".encode()).hexdigest()


models.FakeMultipart.__init__ = _numbered
_writing = threading.Lock()
_record = recorder._record_request


def _record_alone(*given: Any) -> None:
    with _writing:
        _record(*given)


recorder._record_request = _record_alone


def _recorded(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            # killed while it was written: nobody was answered
            continue


def main() -> None:
    """Play the recording back, then serve."""
    app = DomainDispatcherApplication(create_backend_app)
    client = Client(app)
    for entry in _recorded(Path(sys.argv[2])):
        body = b64decode(entry["body"]) if entry["body_encoded"] else (entry["body"] or "").encode()
        client.open(entry["url"], method=entry["method"], headers=entry["headers"], data=body).close()
    recorder.start_recording()
    server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
