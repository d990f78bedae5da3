"""Look for known vulnerabilities of everything that is locked, for every platform: `make audit`.

pip-audit asks the registry. With a file of vulnerabilities (`make audit DATABASE=all.zip`) it asks that file instead,
by a server on the loopback that answers as OSV does, and nothing leaves the machine. Ends with 1 where something is
found, or could not be looked up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from packaging.utils import canonicalize_name

from medforge.errors import MedForgeError
from requirements.osv import Database
from requirements.pins import lock_file, lock_names, read_pins


def main() -> None:
    """Audit the locks, or those files that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", nargs="?", type=Path, help="OSV's all.zip of the ecosystem PyPI")
    parser.add_argument("--locks", nargs="+", type=Path, default=[lock_file(name) for name in lock_names()])
    chosen, passed_on = parser.parse_known_args()
    try:
        if chosen.database is None:
            sys.exit(audit(chosen.locks, passed_on))
        database = Database(chosen.database)
        print(f"{chosen.database}: {database.count} vulnerabilities")
        with answering(database) as address:
            sys.exit(audit(chosen.locks, ["--vulnerability-service", "osv", "--osv-url", address, *passed_on]))
    except MedForgeError as error:
        sys.exit(f"error: {error}")


def audit(locks: Iterable[Path], options: Sequence[str] = ()) -> int:
    """Run pip-audit over every pin of some locks, whatever platform it is for; return the worst of its exit codes."""
    read = [pin for lock in locks for pin in read_pins(lock.read_text())]
    pins = {(canonicalize_name(pin.requirement.name), pin.version) for pin in read}
    worst = 0
    # of one package a platform may get another version, and pip-audit takes one at a time
    while pins:
        versions = dict(sorted(pins))
        pins -= set(versions.items())
        with TemporaryDirectory() as directory:
            listed = Path(directory) / "pins.txt"
            listed.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
            command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
            # strict: what nobody could be asked about has not been audited
            command += ["--strict", "--requirement", str(listed), *options]
            environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            done = subprocess.run(command, env=environment)
            worst = max(worst, done.returncode)
    return worst


@contextmanager
def answering(database: Database) -> Iterator[str]:
    """Answer OSV's query on a port of the loopback; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = database.find(asked["package"]["name"], asked["version"])
            answer = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
