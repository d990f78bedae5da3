"""The packages of examples/, installed as the how-tos say: a source that trains and a method that folds, in one run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import choose_settings, listings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.catalogue import SOURCES, open_task
from medforge.errors import InvalidInput
from medforge.forge_item import WeightChange
from tests.aggregator.forges import UNEXAMINED, branches, fold_all
from tests.client.tasks import make_pixels
from tests.third_parties import medforge, seen

SMALL = {
    "train.plugin.rank": 4, "train.plugin.alpha": 8, "train.epochs": 2, "train.batch": 8, "train.optimiser": "adamw",
    "train.lr": 0.01, "distill.ipc": 2, "distill.steps": 4, "distill.real_batch": 6, "distill.candidates": 1,
    "distill.score_steps": 2,
}  # fmt: skip
START_SECONDS = 120.0


def write_table(root: Path, patients: int = 12) -> Path:
    """Two images of each patient, dark of the healthy and bright of the ill, named by a table."""
    labels = torch.arange(2 * patients) // 2 % 2
    lines = ["path,label,patient"]
    for place, pixels in enumerate(make_pixels(labels, 32, 1)):
        Image.fromarray(np.moveaxis(pixels.numpy(), 0, -1)).save(root / f"{place}.png")
        lines.append(f"{place}.png,{'ill' if labels[place] else 'healthy'},P{place // 2}")
    (root / "eyes.csv").write_text("\n".join(lines) + "\n")
    return root / "eyes.csv"


@contextmanager
def served(site: Path, forge: Path) -> Iterator[str]:
    """Serve a forge from a process that sees the packages, and give its address."""
    ready = forge.parent / "ready"
    command = [sys.executable, "-m", "medforge", "serve", "--forge", str(forge), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready), "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    try:
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield ready.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_source_trains_and_a_method_folds_from_outside_the_tree(
    example_site: Path, tmp_path: Path, tiny_base: BaseModule
) -> None:
    table, place = write_table(tmp_path), tmp_path / "forge"
    with seen(example_site):
        settings = choose_settings(method="median", parameters={"scale": 0.5})
        forge = Forge.establish(place, tiny_base, settings, policy=UNEXAMINED)
        fold_all(MainBranch(forge, tiny_base), branches(tiny_base, 2))
        forge.close()
    changes = [part for name, value in SMALL.items() for part in ("--recipe-set", f"{name}={value}")]
    with served(example_site, place) as address:
        done = medforge(
            example_site, "contribute", f"csvlabels:{table},prompt=the eye of a {{}} person", "--workspace",
            str(tmp_path / "centre"), "--base", tiny_base.spec, "--at", address, "--plaintext", "--override",
            "a tester", "--threads", "1", *changes,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "pushed: arrival 3" in done.stdout
        end = time.monotonic() + 60
        while (forge := Forge.open(place)).ledger.counts()[1] < 3:
            forge.close()
            assert time.monotonic() < end, "the arrival was not folded"
            time.sleep(0.1)
    assert json.loads((tmp_path / "centre/training/source.json").read_text()) == {"medforge-csvlabels": "1.0"}
    branch = Branch.load(tmp_path / "centre" / "branch")
    assert branch.manifest.task == "eyes"
    assert branch.manifest.prompts == ("the eye of a healthy person", "the eye of a ill person")
    with seen(example_site):
        main = MainBranch(forge, tiny_base)
        head, item = main.head(), main.checkout()
        assert head is not None
        assert head.branch == branch.digest
        assert (head.method.method, head.software["medforge-median"]) == ("median", "1.0")
        assert isinstance(item, WeightChange)
        plugins = [forge.load_branch(number).plugin for number in (1, 2, 3)]
        for name in tiny_base.sites:
            stack = torch.stack([plugin.delta(name, tiny_base) for plugin in plugins])
            torch.testing.assert_close(item.changes[name], 0.5 * stack.median(dim=0).values)
        assert [one.outcome for one in replay(forge, tiny_base)] == ["identical"] * 3
    forge.close()


def test_of_an_even_number_the_middle_two_count(example_site: Path, tmp_path: Path, tiny_base: BaseModule) -> None:
    with seen(example_site):
        forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings(method="median"), policy=UNEXAMINED)
        main = MainBranch(forge, tiny_base)
        arriving = branches(tiny_base, 4)
        fold_all(main, arriving)
        item = main.checkout()
    assert isinstance(item, WeightChange)
    for name in tiny_base.sites:
        stack = np.stack([branch.plugin.delta(name, tiny_base).numpy() for branch in arriving])
        np.testing.assert_allclose(item.changes[name].numpy(), np.median(stack, axis=0), rtol=1e-5, atol=1e-7)
    forge.close()


def test_the_command_lists_the_method_and_its_package(example_site: Path) -> None:
    done = medforge(example_site, "methods", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (median,) = [entry for entry in json.loads(done.stdout) if entry["name"] == "median"]
    assert median["package"] == {"medforge-median": "1.0"}
    assert median["source"] == "Yin et al. 2018, arXiv:1803.01498, option I"
    assert not median["distilled"]


@pytest.mark.usefixtures("with_examples")
def test_both_are_known_with_their_packages() -> None:
    assert "median" in listings()
    assert SOURCES.provider("csvlabels") == {"medforge-csvlabels": "1.0"}
    assert SOURCES.provider("folder") == {}


@pytest.mark.usefixtures("with_examples")
def test_patients_of_a_table_are_not_divided(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    task = open_task(f"csvlabels:{table}", 32)
    patients = [set(part.groups or ()) for part in task.splits.values()]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 12
    assert (task.split, task.prompts) == ("patient", ("healthy", "ill"))
    text = table.read_text()
    table.write_text("\n".join(line.rpartition(",")[0] for line in text.splitlines()))
    task = open_task(f"csvlabels:{table}", 32)
    assert task.split == "look-alikes"
    looks = [set(part.groups or ()) for part in task.splits.values()]
    assert len(set.union(*looks)) == sum(map(len, looks))


@pytest.mark.usefixtures("with_examples")
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("gone.png,ill,P1", "line 26 names no image of its own, or no label: .*; mend it"),
        ("0.png,,P1", "line 26 names no image of its own, or no label: .*; mend it"),
        ("0.png,ill", "line 26 names no image of its own, or no label: .*; mend it"),
        ("0.png,ill,P1", "line 26 names no image of its own, or no label: 0.png; mend it"),
    ],
)
def test_a_line_of_a_table_that_cannot_be_used_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    table = write_table(tmp_path)
    table.write_text(f"{table.read_text()}{line}\n")
    with pytest.raises(InvalidInput, match=sentence):
        open_task(f"csvlabels:{table}", 32)
