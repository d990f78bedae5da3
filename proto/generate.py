"""Generate the protobuf stubs from forge.proto: `python -m medforge.proto.generate [--check]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOM = Path(__file__).resolve().parent
STUBS = ("forge_pb2.py", "forge_pb2.pyi", "forge_pb2_grpc.py")


def generate(out: Path) -> dict[str, bytes]:
    """Run protoc on forge.proto in a directory and return the stubs by file name; raise RuntimeError if it fails."""
    from grpc_tools import protoc

    arguments = [
        "protoc",
        f"-Imedforge/proto={ROOM}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
    ]
    if protoc.main([*arguments, "medforge/proto/forge.proto"]) != 0:
        raise RuntimeError("protoc failed on forge.proto; its message is above")
    return {name: (out / "medforge" / "proto" / name).read_bytes() for name in STUBS}


def main() -> int:
    """Write the stubs beside forge.proto, or with --check say which differ from it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m medforge.proto.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a stub does not match forge.proto")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        stubs = generate(Path(scratch))
    stale = [n for n, data in stubs.items() if not (ROOM / n).is_file() or (ROOM / n).read_bytes() != data]
    if check and stale:
        print(f"{', '.join(stale)} do not match forge.proto; run `make proto` and commit them", file=sys.stderr)
        return 1
    for name in stale:
        (ROOM / name).write_bytes(stubs[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
