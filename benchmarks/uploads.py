"""Upload many large blobs at once to a real server process: its memory and its speed, against a plain gRPC server.

The plain server takes a blob as one message (unary, as simple federated servers take a model), checks its SHA-256 and
writes it durably; MedForge streams it to disk in chunks. Both run as processes of their own on loopback and keep the
same random bytes. Memory is the resident set's high-water mark (VmHWM of /proc, reset before each round), less what is
resident before. Then branches of about that size are submitted, all at once, to show what checking them takes.

Run from the repository's root: ``python -m benchmarks.uploads [--uploads 50] [--megabytes 50]``. It needs Linux, twice
``uploads × megabytes`` of disk below ``--directory``, and memory for ``plain-uploads × megabytes`` three times.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from medforge.branch import Branch
from medforge.files import sha256_file, write_atomically
from medforge.manifest import MANIFEST_FILE
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from medforge.seeds import numpy_generator

_MB = 1_000_000
_CHUNK = 1 << 18
_START_SECONDS = 120.0
# Memory that may come on top for all uploads together, as a share of the bytes that are under way.
_FLAT = 0.1
_PLAIN_CALL = "/plain.Uploads/Upload"
_NO_LIMIT = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass(frozen=True)
class Round:
    """One round: bytes brought, seconds, resident bytes before and at most, and whether every digest was right."""

    count: int
    brought: int
    seconds: float
    before: int
    peak: int
    right: bool

    @property
    def speed(self) -> float:
        """Return MB/s."""
        return self.brought / _MB / self.seconds

    @property
    def grown(self) -> int:
        """Return the bytes that the round took at most."""
        return self.peak - self.before

    def line(self, name: str) -> str:
        """Return a line of the table."""
        return (
            f"{name:34} {self.count:4d} at once {self.before / _MB:8.0f} MB before {self.grown / _MB:+8.1f} MB at most "
            f"{self.speed:8.1f} MB/s  digests {'right' if self.right else 'WRONG'}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all rounds, print memory, speed and ratios; the exit status is 1 for a wrong digest or memory that grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=50, help="uploads at once")
    parser.add_argument("--megabytes", type=int, default=50, help="size of a blob")
    parser.add_argument("--plain-uploads", type=int, default=8, help="uploads at once to the plain server")
    parser.add_argument("--submits", type=int, default=4, help="branches of that size submitted at once")
    parser.add_argument("--directory", type=Path, help="where the files are written; default: the temporary directory")
    parser.add_argument("--serve-plain", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve_plain is not None:
        serve_plain(options.serve_plain)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        return compare(Path(name), options)


def compare(place: Path, options: argparse.Namespace) -> int:
    """Compare below `place`."""
    count = 1 + options.plain_uploads + options.uploads
    blobs = draw_blobs(place / "blobs", count, options.megabytes * _MB)
    with plain_server(place) as (pid, at):
        kept = place / "plain"
        plain_one = measure(pid, blobs[:1], lambda blob: send_plain(at, blob), lambda blob: kept / blob.name)
        plain = measure(pid, blobs[: options.plain_uploads], lambda b: send_plain(at, b), lambda b: kept / b.name)
    with forge_server(place, options.uploads) as (pid, at):
        # where what no Submit has named yet waits
        store = place / "forge" / "blobs" / "partial"
        # one at once first: what a first call loads and keeps is no part of a round
        send(at, draw_blobs(place / "first", 1, _MB, first=count)[0])
        rounds = [
            measure(pid, some, lambda blob: send(at, blob), lambda blob: store / blob.name)
            for some in (blobs[:1], blobs[1 : 1 + options.plain_uploads], blobs[1 + options.plain_uploads :])
        ]
        submitted = submit_branches(pid, at, place, options.submits, options.megabytes * _MB)
    _, few, many = rounds
    print(f"blobs of {options.megabytes} MB of random bytes")
    print(plain_one.line("plain unary server"))
    print(plain.line("plain unary server"))
    for figures in rounds:
        print(figures.line("medforge serve, Upload"))
    print(submitted.line("medforge serve, Submit of branches"))
    each, plain_each = many.grown / many.count, plain.grown / plain.count
    print(f"memory per upload under way: plain {plain_each / _MB:.1f} MB, ours {each / _MB:.2f} MB")
    share = many.grown / many.brought
    print(f"  ratio {plain_each / max(each, 1):.0f} ×; {share:.1%} of the bytes under way are resident")
    print(f"speed at {few.count} at once: ours / plain {few.speed / plain.speed:.2f} ×")
    right = all(figures.right for figures in (plain_one, plain, *rounds, submitted))
    flat = many.grown <= _FLAT * many.brought
    print(f"every digest right: {right}; memory flat (at most {_FLAT:.0%} of the bytes under way): {flat}")
    return 0 if right and flat else 1


def draw_blobs(directory: Path, count: int, size: int, first: int = 0) -> list[Path]:
    """Write files of random bytes, each named by its digest."""
    directory.mkdir(parents=True)
    paths = []
    for number in range(first, first + count):
        data = numpy_generator(0, "benchmark", "uploads", number).integers(0, 256, size, dtype=np.uint8).tobytes()
        paths.append(directory / hashlib.sha256(data).hexdigest())
        paths[-1].write_bytes(data)
    return paths


def measure(pid: int, blobs: Sequence[Path], bring: Callable[[Path], object], where: Callable[[Path], Path]) -> Round:
    """Bring all blobs at once, each by a thread of its own."""
    before = resident(pid, "VmRSS")
    forget_peak(pid)
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(blobs)) as pool:
        list(pool.map(bring, blobs))
    seconds = time.perf_counter() - begun
    peak = resident(pid, "VmHWM")
    right = all(sha256_file(where(blob)) == blob.name for blob in blobs)
    return Round(len(blobs), sum(blob.stat().st_size for blob in blobs), seconds, before, peak, right)


def resident(pid: int, field: str) -> int:
    """Read a process's resident bytes, now (VmRSS) or at most (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak(pid: int) -> None:
    """Let the high-water mark be what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def send(at: str, blob: Path) -> None:
    """Upload a blob to a forge."""
    with RemoteForge(Connection(at)) as forge:
        for _ in forge.upload(blob.name, blob, 0, _CHUNK):
            pass


def submit_branches(pid: int, at: str, place: Path, count: int, size: int) -> Round:
    """Upload branches of about a size, then submit all at once."""
    from medforge.base import load_base
    from tests.making import make_distilled, make_plugin

    base = load_base("medforge-tiny", "cpu")
    prompts = tuple(f"{kind} tissue" for kind in ("benign", "malignant", "doubtful", "scarred"))
    # 500 images per class is what a forge admits
    ipc = min(500, size // (len(prompts) * 3 * base.image_size**2 * 2))
    folders = [place / f"branch {number}" for number in range(count)]
    for number, folder in enumerate(folders):
        branch = Branch.build(
            make_plugin(base, number),
            make_distilled(base, number, ipc, prompts),
            contributor=f"centre {number}",
            task=f"task {number}",
            base=base,
            training_images=10,
            recipe="benchmark",
            seed=number,
            validation={},
        )
        branch.save(folder)
        with RemoteForge(Connection(at)) as forge:
            for name, entry in branch.manifest.files.items():
                for _ in forge.upload(entry.digest, folder / name, 0, _CHUNK):
                    pass

    def submit(folder: Path) -> None:
        with RemoteForge(Connection(at)) as forge:
            forge.describe()
            assert forge.submit((folder / MANIFEST_FILE).read_bytes()).branch == Branch.load(folder).digest

    before = resident(pid, "VmRSS")
    forget_peak(pid)
    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(submit, folders))
    seconds = time.perf_counter() - begun
    brought = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    return Round(count, brought, seconds, before, resident(pid, "VmHWM"), right=True)


@contextmanager
def forge_server(place: Path, uploads: int) -> Iterator[tuple[int, str]]:
    """Run `medforge serve`, with its caps on one caller raised; gives its process id and address."""
    policy = {"open_uploads": uploads, "open_uploads_per_contributor": uploads, "messages_per_second": 1_000_000}
    words = [f"limits.{name}={value}" for name, value in policy.items()]
    words += ["admission.behaviour=false", "admission.weight_change=100", "admission.brightness=100"]
    command = ["-m", "medforge", "serve", "--forge", str(place / "forge"), "--base", "medforge-tiny", "--threads", "1",
               "--open-tasks", "--listen", "127.0.0.1:0",
               *(word for one in words for word in ("--policy", one))]  # fmt: skip
    with _process(place / "forge.ready", [*command, "--ready-file", str(place / "forge.ready")]) as both:
        yield both


@contextmanager
def plain_server(place: Path) -> Iterator[tuple[int, str]]:
    """Run the plain server; gives its process id and address."""
    (place / "plain").mkdir()
    command = ["-m", "benchmarks.uploads", "--serve-plain", str(place / "plain")]
    with _process(place / "plain" / "ready", command) as both:
        yield both


@contextmanager
def _process(ready: Path, command: list[str]) -> Iterator[tuple[int, str]]:
    process = subprocess.Popen([sys.executable, *command], env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the server did not start; its words are above")
            time.sleep(0.05)
        yield process.pid, ready.read_text()
    finally:
        process.kill()
        process.wait()


def send_plain(at: str, blob: Path) -> None:
    """Send a blob as one message, and check the digest that comes back."""
    with grpc.insecure_channel(at, options=(*_NO_LIMIT, ("grpc.use_local_subchannel_pool", 1))) as channel:
        answer: bytes = channel.unary_unary(_PLAIN_CALL)(blob.read_bytes())
        assert answer.decode() == blob.name


def serve_plain(directory: Path) -> None:
    """Be the plain server: a blob is one message, and is durable when it is answered."""

    def keep(data: bytes, context: grpc.ServicerContext) -> bytes:
        digest = hashlib.sha256(data).hexdigest()
        write_atomically(directory / digest, data)
        return digest.encode()

    server = grpc.server(ThreadPoolExecutor(64), options=_NO_LIMIT)
    service, _, method = _PLAIN_CALL[1:].partition("/")
    handler = grpc.unary_unary_rpc_method_handler(keep)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    write_atomically(directory / "ready", f"127.0.0.1:{port}".encode())
    server.wait_for_termination()


if __name__ == "__main__":
    sys.exit(main())
