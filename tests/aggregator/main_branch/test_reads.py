"""What a fold reads of the branches that are in the main branch already."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.stored_branches import Room, StoredBranches
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from tests.aggregator.forges import branches, fold_all, open_main, settings_of, smuggle
from tests.making import make_branch

DEFAULT = settings_of("mixture", "output", "gated")
PARTS = {
    "manifest.json": "manifest",
    "plugin/adapter_config.json": "config",
    "plugin/adapter_model.safetensors": "plugin",
    "distilled.safetensors": "distilled",
}


class Reads:
    """Count which branch's blobs are read, by (number of the branch, part)."""

    def __init__(self, known: list[Branch]) -> None:
        self.names = {
            digest: (number, PARTS[path])
            for number, branch in enumerate(known, start=1)
            for path, digest in [
                ("manifest.json", branch.digest),
                *((path, entry.digest) for path, entry in branch.manifest.files.items()),
            ]
        }
        self.counts: Counter[tuple[int, str]] = Counter()

    def of(self, part: str) -> dict[int, int]:
        return {number: count for (number, name), count in self.counts.items() if name == part}


@pytest.fixture
def arriving(tiny_base: BaseModule) -> list[Branch]:
    return branches(tiny_base, 6)


@pytest.fixture
def reads(arriving: list[Branch], monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    counted = Reads(arriving)
    read = BlobStore.read

    def counting(store: BlobStore, digest: str) -> bytes:
        if digest in counted.names:
            counted.counts[counted.names[digest]] += 1
        return read(store, digest)

    monkeypatch.setattr(BlobStore, "read", counting)
    return counted


def admit_and_fold(main: MainBranch, branch: Branch, reads: Reads) -> None:
    """Fold one branch, and count what is read from its arrival number on."""
    number = main.forge.admit(branch, main.base).number
    reads.counts.clear()
    main.fold(number)


def test_a_fold_of_the_default_loads_one_whole_branch(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads
) -> None:
    main = open_main(tmp_path, tiny_base, DEFAULT)
    for number, branch in enumerate(arriving, start=1):
        admit_and_fold(main, branch, reads)
        assert reads.of("manifest") == {number: 1}
        assert reads.of("plugin") == {number: 1}
        assert reads.of("distilled") == {number: 1}


def test_a_fold_after_a_restart_reads_no_image_of_the_members(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads
) -> None:
    for number, branch in enumerate(arriving, start=1):
        main = open_main(tmp_path, tiny_base, DEFAULT)
        admit_and_fold(main, branch, reads)
        assert reads.of("plugin") == dict.fromkeys(range(1, number + 1), 1)
        assert reads.of("distilled") == {number: 1}
        main.forge.close()


def test_a_lost_cache_costs_one_reading_of_everything(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads
) -> None:
    main = open_main(tmp_path, tiny_base, DEFAULT)
    fold_all(main, arriving[:3])
    main.forge.close()
    shutil.rmtree(tmp_path / "cache")
    admit_and_fold(open_main(tmp_path, tiny_base, DEFAULT), arriving[3], reads)
    assert reads.of("plugin") == dict.fromkeys((1, 2, 3, 4), 1)
    # once for its labels and its embeddings, and once for what its own plugin says, which is asked after all of these
    assert set(reads.of("distilled")) == {1, 2, 3, 4}
    assert max(reads.of("distilled").values()) <= 3


def test_a_replay_reads_every_plugin_and_dataset_once(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads
) -> None:
    main = open_main(tmp_path, tiny_base, DEFAULT)
    fold_all(main, arriving[:4])
    reads.counts.clear()
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 4
    for part in ("manifest", "plugin", "distilled"):
        assert reads.of(part) == dict.fromkeys((1, 2, 3, 4), 1)


# fusion and the sequential layer mixture also read the forge item before them, in which plugins are
@pytest.mark.parametrize(
    "mode",
    [
        ("mixture", "output", "sequential"),
        ("mixture", "layer", "joint"),
        ("lorahub", "layer", "joint"),
        ("ties", "layer", "uniform"),
    ],
    ids=" ".join,
)
def test_other_methods_read_a_plugin_once_too(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads, mode: tuple[str, str, str]
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of(*mode))
    fold_all(main, arriving[:3])
    # its admission maps the file
    assert reads.of("plugin") == dict.fromkeys((1, 2, 3), 1)


def test_plugins_beyond_the_memory_are_read_again_and_give_the_same(
    tmp_path: Path, tiny_base: BaseModule, arriving: list[Branch], reads: Reads
) -> None:
    forge = open_main(tmp_path, tiny_base, DEFAULT).forge
    numbers = [forge.admit(branch, tiny_base).number for branch in arriving[:3]]
    one = 2 * sum(map(len, arriving[0].plugin.files().values()))
    stored = StoredBranches(forge, None, Room(plugin_bytes=2 * one))
    reads.counts.clear()
    for _ in range(3):
        for named, branch in zip(stored.arrived(numbers), arriving, strict=False):
            assert named.plugin().digest == branch.plugin.digest
    assert reads.of("plugin") == {1: 1, 2: 1, 3: 3}


def test_parts_that_are_not_what_the_manifest_says_are_refused(tmp_path: Path, tiny_base: BaseModule) -> None:
    """An earlier version, or a looser policy, may have admitted them."""
    forge = open_main(tmp_path, tiny_base, DEFAULT).forge
    branch = make_branch(tiny_base)
    settings = branch.plugin.settings.model_copy(update={"alpha": 9.0})
    told = branch.manifest.model_copy(update={"plugin": settings, "prompts": ("other", "texts")})
    smuggle(forge, replace(branch, manifest=told))
    (named,) = StoredBranches(forge, None).arrived([1])
    for read in (named.plugin, named.labels, named.images):
        with pytest.raises(InvalidBranch, match="the manifest does not describe its plugin and distilled dataset"):
            read()
