import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits, Policy
from medforge.aggregator.ledger.database import LeaseLost
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival, Arriving
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput
from medforge.files import canonical_json, sha256_bytes
from medforge.manifest import DISTILLED_FILE, Manifest
from medforge.proto.errors import MissingBlob, NotFound, OverLimit
from tests.making import make_branch

SETTINGS = choose_settings()


def establish(directory: Path, base: BaseModule, **options: object) -> Forge:
    return Forge.establish(directory, base, SETTINGS, **options)  # type: ignore[arg-type]


def store(forge: Forge, branch: Branch) -> Manifest:
    for data in branch.blobs().values():
        forge.blobs.put(data)
    return branch.manifest


def test_a_forge_keeps_its_identity_over_reopening(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> None:
    forge = establish(tmp_path, tiny_base, ledger_url=ledger_url)
    settings = forge.settings
    forge.close()
    again = establish(tmp_path, tiny_base, ledger_url=ledger_url)
    assert again.settings == settings
    assert settings.base == tiny_base.fingerprint
    assert json.loads((tmp_path / "forge.json").read_bytes())["forge"] == settings.forge


def test_two_forges_have_different_ids(tmp_path: Path, tiny_base: BaseModule) -> None:
    assert establish(tmp_path / "a", tiny_base).settings.forge != establish(tmp_path / "b", tiny_base).settings.forge


def test_an_accepted_branch_comes_back_whole(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> None:
    forge = establish(tmp_path, tiny_base, ledger_url=ledger_url)
    branch = make_branch(tiny_base, 1)
    arrival = forge.accept(store(forge, branch), tiny_base)
    assert (arrival.number, arrival.branch, arrival.contributor, arrival.task) == (1, branch.digest, "centre", "task")
    assert forge.load_branch(1).digest == branch.digest
    assert forge.load_branch(1).blobs() == branch.blobs()
    assert forge.accept(branch.manifest, tiny_base) == arrival


def test_many_threads_accept_the_same_branches_once(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    branches = [make_branch(tiny_base, seed) for seed in range(3)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda i: forge.admit(branches[i % 3], tiny_base), range(12)))
    assert {a.number for a in found} == {1, 2, 3}
    assert len(set(found)) == 3


def test_branches_that_come_together_do_not_depend_on_each_other(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of one cannot be synced: it is asked for again, and the others of its group arrive."""
    forge = establish(tmp_path, tiny_base)
    branches = [make_branch(tiny_base, seed, contributor=f"centre-{seed}") for seed in range(4)]
    spoiled = branches[2].manifest.files[DISTILLED_FILE].digest
    for branch in branches:
        for data in branch.blobs().values():
            forge.blobs.stage(data)
    fsync, groups = os.fsync, []
    add_arrivals = Ledger.add_arrivals

    def fails(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == spoiled:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    def noted(ledger: Ledger, arriving: Sequence[Arriving]) -> list[Arrival]:
        groups.append([one.contributor for one in arriving])
        return add_arrivals(ledger, arriving)

    monkeypatch.setattr(os, "fsync", fails)
    monkeypatch.setattr(Ledger, "add_arrivals", noted)
    with ThreadPoolExecutor(4) as pool:
        with forge.adding:
            accepted = []
            for waiting, branch in enumerate(branches):
                accepted.append(pool.submit(forge.accept, branch.manifest, tiny_base))
                # the first is a group alone, which waits for the lock
                while len(forge._intake.group._waiting) < waiting or not forge._intake.group._busy:
                    threading.Event().wait(0.001)
        numbers = [accepted[place].result(60).number for place in (0, 1, 3)]
        with pytest.raises(MissingBlob, match=f"{DISTILLED_FILE} .* has not been uploaded: 0 of"):
            accepted[2].result(60)
    assert numbers == [1, 2, 3]
    assert groups == [["centre-0"], ["centre-1"], ["centre-3"]]
    monkeypatch.setattr(os, "fsync", fsync)
    assert forge.admit(branches[2], tiny_base).number == 4
    assert [forge.load_branch(number).digest for number in (1, 2, 3, 4)] == [
        branches[place].digest for place in (0, 1, 3, 2)
    ]


def test_branches_that_come_together_arrive_in_one_transaction(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overtaken by another server, none of them arrives, and what waits is told so."""
    forge = establish(tmp_path, tiny_base)
    branches = [make_branch(tiny_base, seed, contributor=f"centre-{seed}") for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        with forge.adding:
            accepted = [pool.submit(forge.admit, branch, tiny_base) for branch in branches]
            while len(forge._intake.group._waiting) < 2:
                threading.Event().wait(0.001)
            other = Ledger(forge.ledger.url.render_as_string())
            other.take("another server's")
        for one in accepted:
            with pytest.raises(LeaseLost, match="another process has taken this forge's ledger"):
                one.result(60)
    assert other.arrivals() == []


def test_a_second_process_is_refused(tmp_path: Path, tiny_base: BaseModule, tiny_spec: str) -> None:
    forge = establish(tmp_path / "forge", tiny_base)
    command = [sys.executable, "-m", "medforge", "serve", "--forge", str(tmp_path / "forge"), "--base", tiny_spec]
    done = subprocess.run(
        [*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert f"another process serves the forge {tmp_path / 'forge'}; stop it first" in done.stderr
    assert "Traceback" not in done.stderr
    forge.close()
    establish(tmp_path / "forge", tiny_base)


def test_a_reader_may_look_while_a_writer_writes(tmp_path: Path, tiny_base: BaseModule) -> None:
    writer = establish(tmp_path, tiny_base)
    reader = Forge.open(tmp_path)
    writer.admit(make_branch(tiny_base), tiny_base)
    assert [a.number for a in reader.ledger.arrivals()] == [1]


def test_another_base_is_refused_with_the_remedy(tmp_path: Path, tiny_base: BaseModule, other_base: BaseModule) -> None:
    establish(tmp_path, tiny_base).close()
    with pytest.raises(InvalidInput, match="stands on base module .* serve it with --base .* or elsewhere"):
        establish(tmp_path, other_base)
    # the refused attempt must not keep the forge locked
    establish(tmp_path, tiny_base)


def test_another_method_is_refused_by_what_differs(tmp_path: Path, tiny_base: BaseModule) -> None:
    Forge.establish(tmp_path, tiny_base, choose_settings(seed=3)).close()
    with pytest.raises(InvalidInput, match=r"was made with seed=3 \(not 4\); serve it with these settings or choose"):
        Forge.establish(tmp_path, tiny_base, choose_settings(seed=4))


def test_another_objective_is_refused_by_what_differs(tmp_path: Path, tiny_base: BaseModule) -> None:
    Forge.establish(tmp_path, tiny_base, choose_settings(method="fusion")).close()
    with pytest.raises(InvalidInput, match=r"was made with objective='cross-entropy' \(not 'reference'\)"):
        Forge.establish(tmp_path, tiny_base, choose_settings(method="fusion", objective="reference"))


def test_a_directory_that_is_no_forge_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"is not a forge \(it has no forge.json\); `medforge serve --forge` makes one"
    ):
        Forge.open(tmp_path)


def test_damaged_settings_get_a_sentence(tmp_path: Path, tiny_base: BaseModule) -> None:
    establish(tmp_path, tiny_base).close()
    (tmp_path / "forge.json").write_text('{"forge": 1}')
    with pytest.raises(CorruptFile, match=r"forge.json is not a forge's settings .* restore it from a backup"):
        Forge.open(tmp_path)


def test_a_file_in_place_of_the_directory_gets_a_sentence(tmp_path: Path, tiny_base: BaseModule) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="file cannot be made .*; choose another"):
        establish(tmp_path / "file", tiny_base)


def test_a_lost_ledger_is_never_replaced_by_an_empty_one(tmp_path: Path, tiny_base: BaseModule) -> None:
    establish(tmp_path, tiny_base).close()
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(CorruptFile, match=r"has lost its ledger.sqlite; restore it from a backup"):
        establish(tmp_path, tiny_base)


def test_an_external_ledger_must_be_named_and_the_right_one(tmp_path: Path, tiny_base: BaseModule) -> None:
    url, other = (f"sqlite:///{tmp_path / name}" for name in ("one.sqlite", "other.sqlite"))
    establish(tmp_path / "forge", tiny_base, ledger_url=url).close()
    with pytest.raises(InvalidInput, match="keeps its ledger in another database; give its address with --ledger"):
        establish(tmp_path / "forge", tiny_base)
    with pytest.raises(CorruptFile, match="the ledger belongs to forge nobody"):
        establish(tmp_path / "forge", tiny_base, ledger_url=other)
    forge = establish(tmp_path / "forge", tiny_base, ledger_url=url)
    assert forge.admit(make_branch(tiny_base), tiny_base).number == 1


def test_an_internal_ledger_takes_no_other_address(tmp_path: Path, tiny_base: BaseModule) -> None:
    establish(tmp_path, tiny_base).close()
    with pytest.raises(InvalidInput, match="keeps its ledger in its own directory; leave --ledger out"):
        establish(tmp_path, tiny_base, ledger_url="sqlite://")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_no_forge_begins_on_a_ledger_in_memory(tmp_path: Path, tiny_base: BaseModule, url: str) -> None:
    with pytest.raises(InvalidInput, match="is in memory and would be lost with the process; give a file"):
        establish(tmp_path / "forge", tiny_base, ledger_url=url)
    assert not (tmp_path / "forge").exists()


def test_a_ledger_in_use_is_not_given_to_a_new_forge(tmp_path: Path, tiny_base: BaseModule) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = Ledger(url)
    ledger.set_fact("forge", "older")
    ledger.add_arrival("a" * 64, "centre", "lung", 1)
    with pytest.raises(InvalidInput, match="the ledger already belongs to forge older"):
        establish(tmp_path / "forge", tiny_base, ledger_url=url)


def test_a_bound_ledger_is_not_given_to_another_forge_before_it_has_arrivals(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    first = establish(tmp_path / "one", tiny_base, ledger_url=url)
    first.close()
    with pytest.raises(InvalidInput, match=f"the ledger already belongs to forge {first.settings.forge}"):
        establish(tmp_path / "two", tiny_base, ledger_url=url)
    assert establish(tmp_path / "one", tiny_base, ledger_url=url).settings.forge == first.settings.forge


def test_a_copied_directory_on_the_same_ledger_is_refused_while_the_first_writes(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    first = establish(tmp_path / "one", tiny_base, ledger_url=url)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    policy = (tmp_path / "two" / "policy.json").exists()
    with pytest.raises(InvalidInput, match="another process serves the ledger"):
        establish(tmp_path / "two", tiny_base, ledger_url=url, policy=Policy())
    assert (tmp_path / "two" / "policy.json").exists() == policy
    first.close()
    establish(tmp_path / "two", tiny_base, ledger_url=url).close()


def test_a_forge_whose_making_was_cut_short_goes_on_as_the_same(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    forge.close()
    (tmp_path / "forge.json").rename(tmp_path / "forge.json.new")
    again = establish(tmp_path, tiny_base)
    assert again.settings.forge == forge.settings.forge
    assert sorted(path.name for path in tmp_path.glob("forge.json*")) == ["forge.json"]


def test_a_key_without_settings_is_not_replaced(tmp_path: Path, tiny_base: BaseModule) -> None:
    establish(tmp_path, tiny_base).close()
    (tmp_path / "forge.json").unlink()
    key = (tmp_path / "keys" / "forge.key").read_bytes()
    with pytest.raises(InvalidInput, match=r"has a forge's key, but no forge.json; restore that file from a backup"):
        establish(tmp_path, tiny_base)
    assert (tmp_path / "keys" / "forge.key").read_bytes() == key


def test_unknown_blobs_are_named_with_what_is_here(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    branch = make_branch(tiny_base)
    with pytest.raises(MissingBlob, match=r"distilled.safetensors .* has not been uploaded: 0 of \d+ bytes are here"):
        forge.accept(branch.manifest, tiny_base)
    assert forge.ledger.arrivals() == []


def test_a_branch_of_another_base_is_refused(tmp_path: Path, tiny_base: BaseModule, other_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    with pytest.raises(BaseMismatch, match="was made on base module .* train it on the forge's base"):
        forge.admit(make_branch(other_base), tiny_base)
    assert forge.ledger.arrivals() == []


def test_values_that_are_not_finite_are_refused(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    branch = make_branch(tiny_base)
    images = branch.distilled.images.clone()
    images[0, 0, 0, 0] = torch.nan
    with pytest.raises(InvalidBranch, match="holds a value that is not finite"):
        forge.accept(store(forge, _with(branch, images)), tiny_base)
    assert forge.ledger.arrivals() == []


def test_wrong_shapes_are_refused(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    branch = make_branch(tiny_base)
    with pytest.raises(InvalidBranch, match=r"holds images as F16 \(4, 3, 8, 8\) where F16 \(4, 3, 32, 32\) is due"):
        forge.accept(store(forge, _with(branch, branch.distilled.images[:, :, :8, :8])), tiny_base)
    assert forge.ledger.arrivals() == []


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (b"", "the manifest's the whole is wrong|the manifest's .* is wrong"),
        (b"\xff\xfe not json", "the manifest's .* is wrong"),
        (b"{}", "the manifest's contributor is wrong"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    tmp_path: Path, tiny_base: BaseModule, manifest: bytes, sentence: str
) -> None:
    with pytest.raises(InvalidBranch, match=sentence):
        establish(tmp_path, tiny_base).parse_manifest(manifest)


def test_limits_hold_before_anything_is_read(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base, policy=Policy(limits=Limits(manifest=3000, branch=1000)))
    with pytest.raises(OverLimit, match="the manifest has 3001 bytes where 3000 are admitted"):
        forge.parse_manifest(b" " * 3001)
    with pytest.raises(OverLimit, match=r"the branch has \d+ bytes where this forge admits 1000"):
        forge.accept(make_branch(tiny_base).manifest, tiny_base)


def test_one_branch_at_a_time_is_in_memory(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = establish(tmp_path, tiny_base)
    inside, most, guard = 0, 0, threading.Lock()
    run = ContentCheck.run

    def watched(check: ContentCheck) -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        run(check)
        with guard:
            inside -= 1

    manifests = [store(forge, make_branch(tiny_base, seed)) for seed in range(6)]
    monkeypatch.setattr(ContentCheck, "run", watched)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda manifest: forge.accept(manifest, tiny_base), manifests))
    assert most == 1
    assert forge.ledger.counts() == (6, 0)


def test_a_missing_commit_gets_a_sentence(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = establish(tmp_path, tiny_base)
    with pytest.raises(NotFound, match="has no commit yet; push a branch and wait until it is folded"):
        forge.find_commit(None)
    with pytest.raises(NotFound, match="is not on this forge's main branch; `medforge log` lists its commits"):
        forge.find_commit("0" * 64)
    with pytest.raises(NotFound, match="arrival 1 is not in this forge; `medforge log` lists the arrivals"):
        forge.load_branch(1)


def _with(branch: Branch, images: torch.Tensor) -> Branch:
    """Return the branch other images, with a manifest that names the new bytes."""
    distilled = DistilledDataset(images.contiguous(), branch.distilled.labels, branch.distilled.prompts)
    data = distilled.to_bytes()
    plain = json.loads(branch.manifest.to_bytes())
    plain["files"][DISTILLED_FILE] = {"digest": sha256_bytes(data), "size": len(data)}
    return Branch(type(branch.manifest).parse(canonical_json(plain)), branch.plugin, distilled)
