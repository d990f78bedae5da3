"""Processes that push as clients do: each thread of theirs is one client, with one connection for all its branches."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.submit import bare
from medforge.files import parse_json
from medforge.manifest import MANIFEST_FILE, Manifest
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge

BARE, FORGE = "bare", "forge"
# more threads in one interpreter would wait for each other, and not for the server
_CLIENTS_A_PROCESS = 8


def timed(way: str, at: str, clients: Sequence[Sequence[Path]]) -> float:
    """Push the folders of all clients at once, and return the seconds from the first to the last receipt."""
    groups = [clients[first : first + _CLIENTS_A_PROCESS] for first in range(0, len(clients), _CLIENTS_A_PROCESS)]
    command = [sys.executable, "-m", "benchmarks.submit.drive", way, at]
    processes = [
        subprocess.Popen(
            [*command, json.dumps([[str(folder) for folder in client] for client in group])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for group in groups
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        begun = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
        return time.perf_counter() - begun
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def main(way: str, at: str, folders: str) -> None:
    """Be one such process."""
    clients = [[Path(folder) for folder in client] for client in parse_json(folders)]
    failed: list[BaseException] = []

    def run(prepared: Callable[[], None]) -> None:
        try:
            prepared()
        except BaseException as error:
            failed.append(error)
            raise

    prepare = _bare_client if way == BARE else _forge_client
    threads = [threading.Thread(target=run, args=(prepare(at, client),)) for client in clients]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("failed" if failed else "done", flush=True)


def _bare_client(at: str, folders: Sequence[Path]) -> Callable[[], None]:
    channel = bare.connect(at)
    contents = [_files(folder) for folder in folders]

    def run() -> None:
        for files in contents:
            bare.push(channel, files)

    return run


def _forge_client(at: str, folders: Sequence[Path]) -> Callable[[], None]:
    """Call a forge as `medforge.client.push` does, once its branch is read: describe, ask, upload, submit."""
    forge = RemoteForge(Connection(at))
    contents = [
        ((folder / MANIFEST_FILE).read_bytes(), {path.name: path for path in _files(folder)}) for folder in folders
    ]
    named = [
        (data, {entry.digest: files[Path(name).name] for name, entry in Manifest.parse(data).files.items()})
        for data, files in contents
    ]

    def run() -> None:
        for data, files in named:
            described = forge.describe()
            for _ in forge.send(files, forge.missing(files), described):
                pass
            forge.submit(data)

    return run


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)


if __name__ == "__main__":
    main(*sys.argv[1:])
