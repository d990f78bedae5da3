"""What keeps a branch out, by the name of the check."""

from __future__ import annotations

import tempfile
from pathlib import Path

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.admission import check_manifest
from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.verdicts import Verdicts
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import MedForgeError
from medforge.proto.errors import OverLimit

CHECKS = ("refused", "chance", "zero-shot", "noise", "contradiction", "merge")
"""What a forge without declared tasks, origins and reviews asks a branch."""

_SAID = {
    "is not declared": "task",
    "has no class with the prompt": "task",
    "word them differently": "task",
    "choose another name": "task",
    "does not beat chance": "chance",
    "worse than chance": "zero-shot",
    "look like noise": "noise",
    "lowers the accuracy": "merge",
    "contradict": "contradiction",
    "has its images": "foreign",
    "alike: ": "copy",
    "reviews say": "reviews",
}


def check_of(reason: str) -> str:
    """Return which check a forge's sentence is from; the sentence itself where it is from none that is known here."""
    return next((check for words, check in _SAID.items() if words in reason), reason)


def refused(branch: Branch, base: BaseModule, policy: Policy) -> str:
    """Say "refused" where a branch is not admitted under a policy, nothing where it is."""
    try:
        check_manifest(branch.manifest, policy, 0)
        with tempfile.TemporaryDirectory() as directory:
            blobs = BlobStore(Path(directory))
            for data in branch.blobs().values():
                blobs.stage(data)
            ContentCheck(branch.manifest, base, policy, blobs, Verdicts(Path(directory) / "verdicts")).run()
    except (MedForgeError, OverLimit):
        return "refused"
    return ""
