"""The baseline: a branch's files come as one gRPC stream, are hashed and synced, and answered with their digest."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from medforge.files import write_atomically

_CALL = "/bare.Branches/Push"
_THREADS = 64
_CHUNK = 1 << 18


def serve(directory: Path, ready: Path) -> None:
    """Be the bare server: what a stream brings is one file, hashed on the way and synced before it is answered."""
    directory.mkdir()
    numbers = count()

    def keep(chunks: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        digest = hashlib.sha256()
        with (directory / str(next(numbers))).open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest().encode()

    server = grpc.server(ThreadPoolExecutor(_THREADS))
    service, _, method = _CALL[1:].partition("/")
    handler = grpc.stream_unary_rpc_method_handler(keep)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    write_atomically(ready, f"127.0.0.1:{port}".encode())
    server.wait_for_termination()


def connect(at: str) -> Any:
    """Return a channel of its own to the bare server."""
    return grpc.insecure_channel(at, options=(("grpc.use_local_subchannel_pool", 1),))


def push(channel: Any, files: Sequence[Path]) -> None:
    """Send a branch's files as one stream, and check the digest that comes back."""
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        for path in files:
            with path.open("rb") as file:
                while data := file.read(_CHUNK):
                    digest.update(data)
                    yield data

    answer: bytes = channel.stream_unary(_CALL)(chunks())
    assert answer.decode() == digest.hexdigest()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
