"""The ways in which `benchmarks.misbehaving` lets a contributor misbehave, each a call that is made over and over."""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import grpc
import torch

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.distilled import DistilledDataset
from medforge.errors import MedForgeError
from medforge.files import canonical_json, sha256_file, write_atomically
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.site_facts import SiteFacts
from tests.making import make_branch, make_distilled

WAYS = {
    "last": "Submits that fail at the last check, other words each time",
    "bytes": "Submits that fail at the last check, other bytes each time",
    "largest": "a large branch, other bytes each time",
    "names": "the same bytes under 30 task names",
    "disk": "uploads that are never submitted",
    "silent": "uploads that bring nothing",
    "downloads": "downloads of the head",
    "reviews": "reviews that are none, of 64 KiB",
    "cycles": "Submit and Withdraw with erasure in turn",
    "manifests": "manifests of 1 MiB that are none",
}
_CHUNK = 1 << 20
_TOLD_SECONDS = 0.5


class Attacker:
    """Make misbehaving calls over one connection, one after another; `number` tells the threads apart."""

    def __init__(self, remote: RemoteForge, kit: Kit, base: BaseModule, place: Path, number: int) -> None:
        self._remote = remote
        self._kit = kit
        self._base = base
        self._folder = place / "misbehaving" / f"{kit.card.contributor} {number}"
        self._number = number
        self._small = make_branch(base, number, "wrong", kit.card.contributor)
        self._counter = count()
        self.calls: Counter[str] = Counter()

    def last(self) -> None:
        """Submit the same bytes with statistics out of all measure, under other words."""
        branch = self._unmeasured(self._small)
        self._upload(branch)
        for _ in range(100):
            recipe = f"words {self._number} {next(self._counter)}"
            self._submit(replace(branch, manifest=branch.manifest.model_copy(update={"recipe": recipe})))

    def bytes(self) -> None:
        """Submit other bytes with statistics out of all measure."""
        branch = self._unmeasured(self._other(self._small))
        self._upload(branch)
        self._submit(branch)

    def largest(self, size: int) -> None:
        """Submit other bytes of about a size."""
        prompts = tuple(f"class {number} tissue" for number in range(200))
        each = 3 * self._base.image_size**2 * 2
        ipc = max(1, min(500, size // (each * len(prompts))))
        classes = max(2, min(len(prompts), size // (each * ipc)))
        distilled = make_distilled(self._base, self._number, ipc, prompts[:classes])
        branch = self._other(replace(self._small, distilled=distilled))
        self._upload(branch)
        self._submit(branch)

    def names(self) -> None:
        """Submit the same bytes under 30 names."""
        self._upload(self._small)
        for number in range(30):
            manifest = self._small.manifest.model_copy(update={"task": f"name {number} of {self._number}"})
            self._submit(replace(self._small, manifest=manifest))

    def disk(self) -> None:
        """Upload what is never submitted."""
        path = self._folder / "random"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(16 << 20))
        for _ in self._remote.upload(sha256_file(path), path, 0, _CHUNK):
            pass

    def silent(self) -> None:
        """Open uploads that bring nothing, and keep them open."""
        never = threading.Event()

        def nothing() -> Iterator[pb.UploadChunk]:
            never.wait(30)
            yield from ()

        list(self._remote._stub.Upload(nothing()))

    def downloads(self) -> None:
        """Download the head."""
        self._remote.item()

    def reviews(self) -> None:
        """Send what is no review."""
        body = {"tasks": {f"task {number}": {"images": "none"} for number in range(2000)}, "commit": self._number}
        self._remote.review(canonical_json(body)[: (1 << 16) - 1], b"x" * 64)

    def cycles(self) -> None:
        """Submit a branch and withdraw it."""
        branch = self._other(self._small)
        self._upload(branch)
        self._submit(branch)
        self._remote.withdraw(branch.digest, erase=True)

    def manifests(self) -> None:
        """Submit a manifest of the largest size that is none."""
        said = json.loads(self._small.manifest.to_bytes())
        said["validation"] = {f"{number} {next(self._counter)}": float(number) for number in range(900)}
        said["prompts"] = ["x" * 1000 for _ in range(1020)]
        self._remote.submit(canonical_json(said)[: (1 << 20) - 1], b"x" * 64)

    def _other(self, branch: Branch) -> Branch:
        """Return the branch with an image that nobody has sent, and what the manifest then says."""
        images = branch.distilled.images.clone()
        images[0, 0, 0, :2] = torch.rand(2)
        distilled = DistilledDataset(images, branch.distilled.labels, branch.distilled.prompts)
        return Branch.build(
            branch.plugin,
            distilled,
            contributor=self._kit.card.contributor,
            task=f"wrong {self._number}",
            base=self._base,
            training_images=10,
            recipe="misbehaving",
            seed=0,
            validation={},
        )

    def _unmeasured(self, branch: Branch) -> Branch:
        embeddings = 1e6 * torch.randn(10, self._base.embed_dim)
        statistics = ClassStatistics.of(embeddings, torch.arange(10) % 2, 2)
        return branch.with_facts(SiteFacts(statistics=statistics), self._base)

    def _upload(self, branch: Branch) -> None:
        branch.save(self._folder)
        for name, entry in branch.manifest.files.items():
            for _ in self._remote.upload(entry.digest, self._folder / name, 0, _CHUNK):
                pass

    def _submit(self, branch: Branch) -> None:
        self.calls["Submit"] += 1
        try:
            self._remote.submit(branch.manifest.to_bytes(), self._kit.sign_submit(branch.digest))
        except MedForgeError as error:
            self.calls[f"Submit: {type(error).__name__}"] += 1


def misbehave(way: str, at: str, place: Path, options: argparse.Namespace) -> None:
    """Misbehave in a way with many threads until the process is killed; what is refused is tried again at once.

    What was called, and how it ended, is written down twice a second.
    """
    base, kit = load_base(options.base, "cpu"), Kit.load(place / way)
    torch.set_num_threads(1)
    attackers: list[Attacker] = []

    def go_on(number: int) -> None:
        with RemoteForge(Connection(at, kit)) as remote:
            attacker = Attacker(remote, kit, base, place, number)
            call = getattr(attacker, way)
            attackers.append(attacker)
            while True:
                attacker.calls["rounds"] += 1
                try:
                    call(*([options.megabytes * 1_000_000] if way == "largest" else []))
                except (MedForgeError, grpc.RpcError) as error:
                    attacker.calls[type(error).__name__] += 1

    threads = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(options.threads)]
    for thread in threads:
        thread.start()
    while True:
        time.sleep(_TOLD_SECONDS)
        calls = sum((Counter(one.calls) for one in list(attackers)), Counter[str]())
        if not calls:
            continue
        write_atomically(place / f"{way}.begun", json.dumps(calls).encode())
