"""An S3 server of the tests' own: moto's, in a process that can be killed, frozen and started again."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

_WAIT = 60
BUCKET = "medforge-tests"


class S3Server:
    """A running server with one bucket; each forge gets a prefix of its own in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.recording = place / "recording"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it, and to be let in."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start the server with what it had, and wait until it answers."""
        command = [sys.executable, "-m", "tests.s3_server", str(self.port), str(self.recording)]
        environment = os.environ | {"MOTO_RECORDER_FILEPATH": str(self.recording)}
        with (self.place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=Path(__file__).parents[1], env=environment
            )
        end = time.monotonic() + _WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, (self.place / "log").read_text()
                assert time.monotonic() < end, "it does not start"
                time.sleep(0.05)

    def kill(self) -> None:
        """End the server by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_WAIT)

    def freeze(self, frozen: bool) -> None:
        """Let the server fall silent, or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def new_place(self) -> str:
        """Return an address that nobody has used."""
        return f"s3://{BUCKET}/{uuid4().hex[:12]}"

    def client(self) -> Any:
        """Return a client of another maker's, to look at what is there and to spoil it."""
        import boto3

        told = self.environment
        return boto3.client(
            "s3",
            endpoint_url=told["AWS_ENDPOINT_URL"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
            region_name=told["AWS_DEFAULT_REGION"],
        )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server and name it in this process's environment; skips where its package is absent."""
    pytest.importorskip("moto", reason="moto is not installed; pip install 'moto[server]'")
    with tempfile.TemporaryDirectory(prefix="medforge-s3-") as name:
        server = S3Server(Path(name))
        before = {name: os.environ.get(name) for name in server.environment}
        server.start()
        os.environ.update(server.environment)
        try:
            server.client().create_bucket(Bucket=BUCKET)
            yield server
        finally:
            server.kill()
            for variable, value in before.items():
                os.environ.pop(variable) if value is None else os.environ.update({variable: value})
