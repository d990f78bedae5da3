"""Class statistics at a forge's door: their header, what they sum up, and how large they may be; then read apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medforge.aggregator.forge.admission import check_counts, check_statistics
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.headers import check_headers
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.errors import InvalidBranch, MedForgeError
from medforge.manifest import STATISTICS_FILE, FileEntry
from medforge.site_facts import SiteFacts
from medforge.tensors import dump_tensors
from tests.aggregator.forges import UNEXAMINED
from tests.making import make_branch


def statistics_of(base: BaseModule) -> ClassStatistics:
    """Of ten embeddings, five a class, as large as the base's own."""
    rows = torch.randn(10, base.embed_dim, generator=torch.Generator().manual_seed(0))
    return ClassStatistics.of(rows * 0.1, torch.arange(10) % 2, 2)


def with_statistics(base: BaseModule, statistics: ClassStatistics | None = None) -> Branch:
    facts = SiteFacts(class_counts=(5, 5), statistics=statistics or statistics_of(base))
    return make_branch(base).with_facts(facts, base)


def checked(branch: Branch, tensors: dict[str, Tensor], base: BaseModule, directory: Path) -> None:
    """Check the headers of a branch that has these statistics, whatever they are."""
    branch.save(directory)
    data = dump_tensors(tensors)
    (directory / STATISTICS_FILE).write_bytes(data)
    entry = FileEntry(digest="0" * 64, size=len(data))
    manifest = branch.manifest.model_copy(update={"files": {**branch.manifest.files, STATISTICS_FILE: entry}})
    check_headers(manifest, {name: directory / name for name in manifest.files}, base, Limits())


def tensors_of(statistics: ClassStatistics) -> dict[str, Tensor]:
    return {"sums": statistics.sums, "counts": statistics.counts, "covariance": statistics.covariance}


def test_what_a_centre_sends_is_admitted(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = with_statistics(tiny_base)
    checked(branch, tensors_of(statistics_of(tiny_base)), tiny_base, tmp_path)
    check_statistics(branch, tiny_base)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t | {"sums": t["sums"][:, 1:]}, "the statistics file holds sums as F32 .* where F32 .* is due"),
        (lambda t: t | {"sums": t["sums"].half()}, "the statistics file holds sums as F16"),
        (lambda t: t | {"counts": t["counts"][:1]}, "the statistics file holds counts as I64"),
        (lambda t: t | {"covariance": t["covariance"][:, :1]}, "the statistics file holds covariance as F32"),
        (lambda t: t | {"names": torch.zeros(1)}, "the statistics file holds the tensor 'names'"),
        (
            lambda t: {name: t[name] for name in ("sums", "counts")},
            "the statistics file lacks the tensor 'covariance'",
        ),
    ],
)
def test_another_header_is_refused(
    tiny_base: BaseModule,
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    sentence: str,
) -> None:
    with pytest.raises(MedForgeError, match=sentence):
        checked(with_statistics(tiny_base), change(tensors_of(statistics_of(tiny_base))), tiny_base, tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: replace(s, counts=torch.tensor([-5, 5])), "count no image, or fewer than none"),
        (lambda s: replace(s, sums=s.sums * torch.nan), "hold a value that is not finite"),
        (lambda s: replace(s, covariance=-s.covariance), "covariance is none"),
        (lambda s: replace(s, covariance=s.covariance + torch.eye(len(s.covariance)).roll(1, 0)), "covariance is none"),
    ],
)
def test_other_statistics_make_no_branch(
    tiny_base: BaseModule, change: Callable[[ClassStatistics], ClassStatistics], sentence: str
) -> None:
    with pytest.raises(InvalidBranch, match=sentence):
        with_statistics(tiny_base, change(statistics_of(tiny_base)))


@pytest.mark.parametrize("counts", [[6, 4], [3, 5]])
def test_statistics_must_sum_up_what_was_counted_or_nothing(tiny_base: BaseModule, counts: list[int]) -> None:
    statistics = statistics_of(tiny_base)
    check_counts(with_statistics(tiny_base))
    small = replace(statistics, counts=torch.tensor([0, 5]), sums=statistics.sums * torch.tensor([[0.0], [1.0]]))
    check_counts(with_statistics(tiny_base, small))
    wrong = with_statistics(tiny_base, replace(statistics, counts=torch.tensor(counts)))
    with pytest.raises(InvalidBranch, match=f"sum up {counts[0]} images of 'benign task' where the manifest names 5"):
        check_counts(wrong)


def test_class_counts_must_be_the_training_images(tiny_base: BaseModule) -> None:
    wrong = make_branch(tiny_base).with_facts(SiteFacts(class_counts=(4, 5)), tiny_base)
    with pytest.raises(InvalidBranch, match="the class counts add up to 9 where 10 training images are named"):
        check_counts(wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: replace(s, sums=s.sums * 1e6), "the class statistics have a mean of length"),
        (lambda s: replace(s, covariance=s.covariance * 1e9), "the class statistics have a spread of"),
        (lambda s: replace(s, covariance=s.covariance * 1e38), "the class statistics have a spread of"),
    ],
)
def test_statistics_out_of_all_measure_are_refused(
    tiny_base: BaseModule, change: Callable[[ClassStatistics], ClassStatistics], sentence: str
) -> None:
    branch = with_statistics(tiny_base, change(statistics_of(tiny_base)))
    with pytest.raises(InvalidBranch, match=f"{sentence} .* admit .*; commit the branch again on the forge's base"):
        check_statistics(branch, tiny_base)


def test_statistics_no_larger_than_plain_pictures_embed_no_image(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest embedding of a black, a grey and a white picture is the bound, and what is above it is measured."""
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, *[tiny_base.image_size] * 2)
    plain = float(tiny_base.embed_all(tiny_base.normalise(pixels)).norm(dim=1).max())
    statistics = statistics_of(tiny_base)
    longest = float(statistics.means.norm(dim=1).max())
    small, large = (
        with_statistics(tiny_base, replace(statistics, sums=statistics.sums * (factor * plain / longest)))
        for factor in (0.99, 1.01)
    )
    check_statistics(small, tiny_base)
    embedded: list[int] = []
    embed_all = BaseModule.embed_all

    def noted(base: BaseModule, images: Tensor) -> Tensor:
        embedded.append(len(images))
        return embed_all(base, images)

    monkeypatch.setattr(BaseModule, "embed_all", noted)
    check_statistics(small, tiny_base)
    assert embedded == []
    check_statistics(large, tiny_base)
    assert embedded == [4]


def test_a_forge_reads_them_apart_from_the_rest(tiny_base: BaseModule, tmp_path: Path) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings(), policy=UNEXAMINED)
    branch, without = with_statistics(tiny_base), make_branch(tiny_base, seed=1, contributor="other")
    for one in (branch, without):
        forge.admit(one, tiny_base)
    stored = StoredBranches(forge, None)
    first, second = stored.arrived([1, 2])
    found = first.statistics()
    assert found is not None
    assert found.to_bytes() == statistics_of(tiny_base).to_bytes()
    assert second.statistics() is None
    read = forge.load_branch(1)
    assert read.digest == branch.digest
    assert read.statistics is not None
    assert read.statistics.digest == found.digest
    forge.close()
