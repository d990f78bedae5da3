"""What was refused for what it holds is refused again at once; what passes by itself is not remembered."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pytest

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge import content_check
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, Limits, Policy
from medforge.aggregator.forge.verdicts import Verdicts, key_of
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, InvalidBranch
from medforge.manifest import DISTILLED_FILE, Manifest
from medforge.proto.errors import AlreadyHere, MissingBlob, OverLimit
from tests.aggregator.serving import FAST
from tests.making import branch_around, make_branch, make_plugin


def establish(directory: Path, base: BaseModule, limits: Limits | None = None, brightness: float = 1.0) -> Forge:
    admission = Admission(behaviour=False, brightness=brightness)
    return Forge.establish(directory, base, FAST, policy=Policy(limits=limits or Limits(), admission=admission))


def too_bright(base: BaseModule, contributor: str = "centre") -> Branch:
    """A branch whose images are so bright that the default policy does not take them."""
    good = make_branch(base, contributor=contributor)
    images = (60 * good.distilled.images).contiguous()
    distilled = DistilledDataset(images, good.distilled.labels, good.distilled.prompts)
    return Branch.build(
        good.plugin,
        distilled,
        contributor=contributor,
        task="task",
        base=base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


def said_otherwise(branch: Branch, **words: object) -> Branch:
    """The same files under a manifest with other words."""
    return Branch(branch.manifest.model_copy(update=words), branch.plugin, branch.distilled, branch.statistics)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the blobs that were read, as they are read."""
    found: list[str] = []
    opened = BlobStore.open

    def watched(store: BlobStore, digest: str) -> BinaryIO:
        found.append(digest)
        return opened(store, digest)

    monkeypatch.setattr(BlobStore, "open", watched)
    return found


def refused(forge: Forge, branch: Branch, base: BaseModule) -> str:
    with pytest.raises(InvalidBranch) as error:
        forge.admit(branch, base)
    return str(error.value)


def test_the_same_branch_is_refused_again_with_nothing_read(
    tmp_path: Path, tiny_base: BaseModule, reads: list[str]
) -> None:
    forge, bad = establish(tmp_path, tiny_base), too_bright(tiny_base)
    sentence = refused(forge, bad, tiny_base)
    assert "distilled pixels lie in" in sentence
    assert reads
    reads.clear()
    assert refused(forge, bad, tiny_base) == sentence
    # the same images under another manifest, and another plugin
    assert refused(forge, said_otherwise(bad, recipe="another"), tiny_base) == sentence
    assert refused(forge, replace_plugin(bad, tiny_base), tiny_base) == sentence
    assert reads == []
    forge.close()


def replace_plugin(branch: Branch, base: BaseModule) -> Branch:
    return Branch.build(
        make_plugin(base, 9),
        branch.distilled,
        contributor="centre",
        task="task",
        base=base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


def test_a_restart_remembers_and_another_policy_forgets(
    tmp_path: Path, tiny_base: BaseModule, reads: list[str]
) -> None:
    forge, bad = establish(tmp_path, tiny_base), too_bright(tiny_base)
    sentence = refused(forge, bad, tiny_base)
    forge.close()
    forge = establish(tmp_path, tiny_base)
    reads.clear()
    assert refused(forge, bad, tiny_base) == sentence
    assert reads == []
    forge.close()
    forge = establish(tmp_path, tiny_base, brightness=1000)
    assert forge.admit(bad, tiny_base).state is State.RECEIVED
    forge.close()


def test_what_was_found_sound_is_not_read_again(tmp_path: Path, tiny_base: BaseModule, reads: list[str]) -> None:
    forge, branch = establish(tmp_path, tiny_base), make_branch(tiny_base, contributor="a")
    forge.admit(branch, tiny_base)
    reads.clear()
    # over plaintext another may bring the same bytes
    assert forge.admit(said_otherwise(branch, contributor="b"), tiny_base).number == 2
    assert [digest for digest in reads if digest in {one.digest for one in branch.manifest.files.values()}] == []
    forge.close()


def test_what_passes_by_itself_is_not_remembered(tmp_path: Path, tiny_base: BaseModule) -> None:
    """A full allowance, a file that has not come, and a file that the disk has spoilt."""
    branch = make_branch(tiny_base)
    forge = establish(tmp_path, tiny_base, Limits(contributor=branch.manifest.size))
    first = make_branch(tiny_base, 1, task="first", contributor="centre", ipc=1)
    number = forge.admit(first, tiny_base).number
    with pytest.raises(OverLimit, match="bytes here where this forge admits"):
        forge.admit(branch, tiny_base)
    forge.ledger.change(number, State.WITHDRAWN, erase=True)
    forge.ledger.mark_erased(number)
    distilled = forge.blobs.located(branch.manifest.files[DISTILLED_FILE].digest)
    whole = distilled.read_bytes()
    distilled.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptFile, match="was altered on the forge's disk"):
        forge.accept(branch.manifest, tiny_base)
    with pytest.raises(MissingBlob):
        forge.accept(branch.manifest, tiny_base)
    forge.blobs.stage(whole)
    assert forge.accept(branch.manifest, tiny_base).number == 2
    forge.close()


def test_only_so_many_are_remembered_and_a_damaged_file_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "verdicts"
    verdicts = Verdicts(path, most=3)
    for number in range(20):
        with pytest.raises(InvalidBranch), verdicts.refusing(key_of(number)):
            raise InvalidBranch(f"refused {number}; mend it")
    assert len(path.read_bytes().splitlines()) <= 6
    assert not verdicts.is_sound(key_of(16))
    path.write_bytes(path.read_bytes() + b"\xff{\n[1]\n7\n")
    again = Verdicts(path, most=3)
    for number in (17, 18, 19):
        with pytest.raises(InvalidBranch, match=f"refused {number}; mend it"):
            again.is_sound(key_of(number))
    assert not again.is_sound(key_of(16))
    again.found_sound(key_of("good"))
    assert again.is_sound(key_of("good"))


def test_one_plugin_and_its_images_come_under_one_name(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge, branch = establish(tmp_path, tiny_base), make_branch(tiny_base, contributor="centre")
    first = forge.admit(branch, tiny_base)
    assert forge.admit(branch, tiny_base) == first
    for other in (said_otherwise(branch, task="another"), said_otherwise(branch, recipe="another")):
        with pytest.raises(AlreadyHere, match=r"of arrival 1 \(task, received\), which centre has here already; withd"):
            forge.admit(other, tiny_base)
    # another plugin for the same images is another branch, and so is the same by somebody else
    assert forge.admit(branch_around(tiny_base, make_plugin(tiny_base, 5)), tiny_base).number == 2
    assert forge.admit(said_otherwise(branch, contributor="neighbour"), tiny_base).number == 3
    forge.ledger.change(1, State.WITHDRAWN)
    assert forge.admit(said_otherwise(branch, task="another"), tiny_base).number == 4
    forge.close()


def test_a_file_that_gets_its_name_while_it_is_checked_is_found(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another branch that names the same file may arrive first: what was staged then lies elsewhere."""
    forge, branch = establish(tmp_path, tiny_base), make_branch(tiny_base)
    check_sizes, times = content_check.check_sizes, []

    def meanwhile(manifest: Manifest, files: Mapping[str, Path], base: BaseModule) -> None:
        times.append(len(times))
        forge.blobs.keep_together(entry.digest for entry in manifest.files.values())
        check_sizes(manifest, files, base)

    monkeypatch.setattr(content_check, "check_sizes", meanwhile)
    assert forge.admit(branch, tiny_base).number == 1
    assert len(times) == 2
