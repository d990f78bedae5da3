"""What one site has of a task: a task of its own, and all sites together the whole."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from medforge.client.begin import begin_work
from medforge.client.data.catalogue import open_task
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.sites.divide import at_site
from medforge.client.data.sites.look import Look
from medforge.client.data.sites.site import Division, Site, parse_division
from medforge.client.data.task import Split, Task
from medforge.errors import InvalidInput

LUNG = "tissue:lung,train=120,validation=24,test=48"
WAYS = ("3:iid", "3:dirichlet:0.3", "4:missing-class", "3:look")


def sites_of(source: str, text: str, seed: int = 0) -> list[Task]:
    division = parse_division(text)
    return [open_task(f"{source},{division.options(k)}", 16, seed) for k in range(1, division.sites + 1)]


def by_prompt(split: Split, prompts: tuple[str, ...]) -> Counter[tuple[str, str]]:
    pairs = zip(split.images.names, split.labels.tolist(), strict=True)
    return Counter((name, prompts[label]) for name, label in pairs)


@pytest.mark.parametrize("text", WAYS)
def test_together_the_sites_have_every_image_once_under_its_prompt(text: str) -> None:
    whole, sites = open_task(LUNG, 16), sites_of(LUNG, text)
    for part, split in whole.splits.items():
        together = sum((by_prompt(site.splits[part], site.prompts) for site in sites), Counter())
        assert together == by_prompt(split, whole.prompts)
    assert {site.name for site in sites} == {whole.name}


@pytest.mark.parametrize("text", WAYS)
def test_a_division_is_the_same_each_time_and_another_under_another_seed(text: str) -> None:
    task = open_task(LUNG, 16)
    site = Site(2, parse_division(text))
    names = [at_site(task, site, seed).train.images.names for seed in (0, 0, 1)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_a_site_that_lacks_a_class_asks_about_the_others_alone() -> None:
    whole, sites = open_task(LUNG, 16), sites_of(LUNG, "3:missing-class")
    for lacking, site in enumerate(sites):
        assert site.prompts == tuple(p for label, p in enumerate(whole.prompts) if label != lacking)
        for split in site.splits.values():
            assert set(split.labels.tolist()) == {0, 1}


def test_a_look_changes_every_split_and_no_division_beside_it() -> None:
    task = open_task("tissue:lung,train=48,validation=6,test=6", 16)
    for number in (1, 2):
        plain, look = (at_site(task, Site(number, Division(2, way)), 0) for way in ("iid", "look"))
        for part, split in plain.splits.items():
            seen = look.splits[part]
            assert seen.images.names == split.images.names
            assert torch.equal(seen.images[:], Look.of_site(number, 0)(split.images[:]))
            assert not torch.equal(seen.images[:], split.images[:])


def grouped(labels: list[int], groups: list[str]) -> Split:
    images = PixelStore.of_tensor(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8))
    return Split(images, torch.tensor(labels), tuple(groups))


def patients(prefix: str, mixed: bool = False) -> Split:
    """Twelve patients of each of three classes, two images each; with one more who has images of two classes."""
    rows = [(label, f"{prefix}{label}-{patient}") for label in range(3) for patient in range(12) for _ in range(2)]
    rows += [(0, f"{prefix}mixed"), (0, f"{prefix}mixed"), (1, f"{prefix}mixed")] if mixed else []
    return grouped([label for label, _ in rows], [group for _, group in rows])


@pytest.mark.parametrize("text", ["2:iid", "3:missing-class", "2:dirichlet:0.5", "2:look"])
def test_no_patient_is_at_two_sites(text: str) -> None:
    task = Task("ward", ("a", "b", "c"), patients("t"), patients("v"), patients("x"), "patient")
    division = parse_division(text)
    seen: list[set[str]] = []
    for number in range(1, division.sites + 1):
        site = at_site(task, Site(number, division), 3)
        seen += [set(split.groups or ()) for split in site.splits.values()]
    assert len(set().union(*seen)) == sum(map(len, seen)) == 3 * 36


def test_an_image_of_a_class_that_the_site_lacks_stays_out() -> None:
    train = patients("t", mixed=True)
    task = Task("ward", ("a", "b", "c"), train, patients("v"), patients("x"), "patient")
    sites = [at_site(task, Site(k, Division(3, "missing-class")), 0) for k in (1, 2, 3)]
    had = Counter(group for site in sites for group in site.train.groups or ())
    # all its images are at the one site, two where that site lacks class b
    assert had["tmixed"] in (2, 3)
    assert sum("tmixed" in (site.train.groups or ()) for site in sites) == 1
    for site in sites:
        for group, label in zip(site.train.groups or (), site.train.labels.tolist(), strict=True):
            if group != "tmixed":
                assert site.prompts[label] == "abc"[int(group[1])]


def test_several_labels_are_divided_by_chance_or_look_alone() -> None:
    source = "findings:chest,train=160,validation=40,test=40"
    whole = open_task(source, 16)
    assert whole.multi_label
    for text in ("2:iid", "2:look"):
        sites = sites_of(source, text)
        assert {site.prompts for site in sites} == {whole.prompts}
        assert sum(len(site.train) for site in sites) == len(whole.train)
        assert sites[0].train.labels.shape[1] == len(whole.prompts)
    for text in ("2:dirichlet:0.3", "2:missing-class"):
        with pytest.raises(InvalidInput, match="findings: .* has several labels an image, and .* choose iid or look"):
            sites_of(source, text)


def test_what_cannot_be_divided_is_a_sentence_that_names_the_source() -> None:
    with pytest.raises(
        InvalidInput, match="tissue: class .* has 3 training images, too few for 2 sites to have 8 each"
    ):
        sites_of("tissue:lung,train=9,validation=9,test=9", "2:iid")
    with pytest.raises(InvalidInput, match="tissue: missing-class needs at least 3 classes"):
        sites_of("tissue:colon", "2:missing-class")
    with pytest.raises(
        InvalidInput, match=r"has 1 image in the validation split, too few for 2 sites to have 1 images"
    ):
        sites_of("tissue:lung,train=90,validation=3,test=9", "2:iid")


def test_a_workspace_is_begun_on_a_site_by_its_spelling(tmp_path: Path) -> None:
    work = begin_work(tmp_path / "w", {"source": f"{LUNG},part=2/3,by=missing-class", "task": "lung"}, device="cpu")
    assert work.settings.source == "tissue:lung,by=missing-class,part=2/3,test=48,train=120,validation=24"
    assert len(work.task.prompts) == 2
