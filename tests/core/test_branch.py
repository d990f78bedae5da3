from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.distilled import DistilledDataset, check_distilled
from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput
from medforge.files import canonical_json
from medforge.manifest import Manifest, public_spec
from medforge.site_facts import SiteFacts
from tests.making import make_branch, make_distilled


def test_round_trip_keeps_the_digest(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = make_branch(tiny_base)
    branch.save(tmp_path)
    again = Branch.load(tmp_path)
    assert again.digest == branch.digest
    assert again.blobs() == branch.blobs()
    again.check(tiny_base)


def test_digest_is_of_the_content(tiny_base: BaseModule) -> None:
    assert make_branch(tiny_base).digest == make_branch(tiny_base).digest
    others = [make_branch(tiny_base, seed=1), make_branch(tiny_base, task="other")]
    assert len({make_branch(tiny_base).digest, *(b.digest for b in others)}) == 3


def test_a_manifest_that_was_spelled_and_says_something_else_now_is_spelled_anew(tiny_base: BaseModule) -> None:
    manifest = make_branch(tiny_base).manifest
    first = manifest.digest
    other = manifest.model_copy(update={"task": "another"})
    assert other.to_bytes() == canonical_json(other.model_dump(mode="json"))
    assert other.digest != first == manifest.digest
    assert other.model_copy(update={"task": manifest.task}) == manifest


def test_truncated_file_is_named(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    blobs = branch.blobs()
    name = "plugin/adapter_model.safetensors"
    with pytest.raises(CorruptFile, match=f"{name} is not what the manifest says"):
        Branch.assemble(branch.manifest, {**blobs, name: blobs[name][:-1]})
    with pytest.raises(InvalidBranch, match=f"the branch lacks {name}"):
        Branch.assemble(branch.manifest, {k: v for k, v in blobs.items() if k != name})


def test_wrong_base_is_named(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    stranger = replace(branch, manifest=branch.manifest.model_copy(update={"base": "0" * 64}))
    with pytest.raises(BaseMismatch, match="made on base module 000000000000 .* train it on the forge's base"):
        stranger.check(tiny_base)


def test_manifest_faults_are_named(tiny_base: BaseModule) -> None:
    fields = make_branch(tiny_base).manifest.model_dump(mode="json")
    for change, sentence in [
        ({"task": "../escape"}, "manifest's task is wrong"),
        ({"surprise": 1}, "manifest's surprise is wrong"),
        ({"files": {}}, "must list plugin/"),
        ({"modality": "chest\nx-ray"}, "manifest's modality is wrong"),
        ({"classes": ["benign"]}, "1 class keys for 2 prompts"),
        ({"classes": ["benign", "Benign"]}, "names a class twice"),
        ({"class_counts": [1, 2, 3]}, "3 class counts for 2 prompts"),
        ({"class_counts": [1, -2]}, "manifest's class_counts.1 is wrong"),
        ({"distances": [1.0, 2.0]}, "2 distances where 7 quantiles are due"),
        ({"distances": [1.0, 2.0, 3.0, 4.0, 6.0, 5.0, 7.0]}, "quantiles out of order"),
        ({"temperature": 0.0}, "manifest's temperature is wrong"),
        ({"ipc": 0}, "manifest's ipc is wrong"),
    ]:
        with pytest.raises(InvalidBranch, match=sentence):
            Manifest.parse(canonical_json({**fields, **change}))
    with pytest.raises(InvalidBranch, match="canonical"):
        Manifest.parse(canonical_json(fields) + b" ")
    with pytest.raises(InvalidBranch, match="the manifest's the whole is wrong"):
        Manifest.parse(b"not json")


def test_manifest_must_describe_its_files(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    manifest = branch.manifest.model_copy(update={"prompts": ("other", "texts")})
    with pytest.raises(InvalidBranch, match="does not describe its plugin and distilled dataset"):
        Branch.assemble(manifest, branch.blobs())


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the branch manifest at .*nowhere"):
        Branch.load(tmp_path / "nowhere")


def test_checkpoint_paths_stay_at_home() -> None:
    assert public_spec("ViT-B-16:/secret/place/clip.pt") == "ViT-B-16:clip.pt"
    assert public_spec("hf-hub:organisation/model") == "hf-hub:organisation/model"
    assert public_spec("medforge-tiny") == "medforge-tiny"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": torch.zeros(4, 3, 8, 8, dtype=torch.float16)}, r"where \(n, 3, 32, 32\) is due"),
        ({"images": torch.full((4, 3, 32, 32), float("inf"), dtype=torch.float16)}, "not finite"),
        ({"labels": torch.tensor([0, 0, 1, 2])}, "labels must lie in 0…1"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, "a class has no distilled image"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "4 distilled images have labels of shape"),
        ({"prompts": ("same", "same")}, "the class prompts 'same' and 'same' are the same to a reader"),
        ({"prompts": ("Lung  tissue", "lung tissue")}, "'Lung  tissue' and 'lung tissue' are the same to a reader"),
        ({"prompts": ("benign", "ｂｅｎｉｇｎ")}, "are the same to a reader"),
        ({"prompts": ("benign", " ")}, "two or more different texts"),
        # a Cyrillic letter among Latin ones, a digit for a capital letter
        ({"prompts": ("benign", "b\u0435nign")}, "are the same to a reader"),
        ({"prompts": ("lesion of type I", "lesion of type 1")}, "are the same to a reader"),
        # zero width, soft hyphen, right to left, filler, blank braille
        ({"prompts": ("benign", "malig\u200bnant")}, r"'malig\\u200bnant' holds U\+200B, which nobody sees"),
        ({"prompts": ("benign", "malig\u00adnant")}, r"holds U\+00AD"),
        ({"prompts": ("\u202ebenign", "malignant")}, r"holds U\+202E"),
        ({"prompts": ("benign", "malignant\u3164")}, r"holds U\+3164"),
        ({"prompts": ("benign", "malignant\u2800")}, r"holds U\+2800"),
        (
            {"images": torch.ones(4, 3, 32, 32, dtype=torch.float16)},
            "one distilled image stands for both 'benign tissue' and 'malignant tissue'",
        ),
    ],
)
def test_distilled_faults_are_named(tiny_base: BaseModule, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidBranch, match=sentence):
        check_distilled(replace(make_distilled(tiny_base), **change), tiny_base)


def test_an_image_of_two_classes_is_found_whatever_sign_its_zeros_have(tiny_base: BaseModule) -> None:
    distilled = make_distilled(tiny_base)
    images = distilled.images.clone()
    images[0, :, 0], images[2] = 0.0, images[0]
    images[2, :, 0] = -0.0
    images[0, :, 0] = 0.0
    with pytest.raises(InvalidBranch, match="stands for both"):
        check_distilled(replace(distilled, images=images), tiny_base)
    # nor does one more bright point make it another picture
    images[2, 0, 3, 3] += 1
    with pytest.raises(InvalidBranch, match="stands for both"):
        check_distilled(replace(distilled, images=images), tiny_base)
    images[2], images[1] = distilled.images[2], images[0]
    check_distilled(replace(distilled, images=images), tiny_base)  # twice in one class is wasteful, and no lie


def test_images_that_share_their_extremes_are_no_double_until_they_are_equal(tiny_base: BaseModule) -> None:
    distilled = make_distilled(tiny_base, ipc=30)
    images = distilled.images.clamp(-0.5, 0.5)
    check_distilled(replace(distilled, images=images), tiny_base)
    images[59] = images[0]
    with pytest.raises(InvalidBranch, match="stands for both"):
        check_distilled(replace(distilled, images=images), tiny_base)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (3, 2, 31, 31), (2, 1, 17, 5)])
def test_a_value_that_is_not_finite_is_found_in_any_image(
    tiny_base: BaseModule, odd: float, place: tuple[int, ...]
) -> None:
    distilled = make_distilled(tiny_base)
    images = distilled.images.clone()
    images[place] = odd
    with pytest.raises(InvalidBranch, match="not finite"):
        check_distilled(replace(distilled, images=images), tiny_base)


def test_distilled_round_trip(tiny_base: BaseModule, tmp_path: Path) -> None:
    distilled = make_distilled(tiny_base)
    distilled.save(tmp_path / "s.safetensors")
    again = DistilledDataset.load(tmp_path / "s.safetensors")
    assert torch.equal(again.images, distilled.images)
    assert (again.prompts, again.ipc, again.digest) == (distilled.prompts, 2, distilled.digest)


def test_pixels_invert_normalise(tiny_base: BaseModule) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).repeat(12).view(1, 3, 32, 32)
    distilled = DistilledDataset(tiny_base.normalise(pixels).half(), torch.zeros(1, dtype=torch.int64), ("a", "b"))
    assert torch.equal(distilled.pixels(tiny_base.mean, tiny_base.std), pixels)


def test_a_branch_says_more_of_its_site_without_a_change_of_what_says_nothing(
    tiny_base: BaseModule, tmp_path: Path
) -> None:
    branch = make_branch(tiny_base)
    assert b"class_counts" not in branch.manifest.to_bytes()
    assert branch.with_facts(SiteFacts(), tiny_base).digest == branch.digest
    width = tiny_base.embed_dim
    facts = SiteFacts(
        modality="histology",
        classes=("benign", "malignant"),
        class_counts=(30, 20),
        distances=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
        temperature=1.5,
        statistics=ClassStatistics(torch.ones(2, width), torch.tensor([30, 20]), torch.eye(width)),
    )
    more = branch.with_facts(facts, tiny_base)
    more.save(tmp_path)
    again = Branch.load(tmp_path)
    assert (again.digest, again.manifest.temperature) == (more.digest, 1.5)
    assert again.statistics is not None
    assert again.statistics.counts.tolist() == [30, 20]
    assert again.blobs() == more.blobs()


def test_facts_that_do_not_fit_are_named(tiny_base: BaseModule) -> None:
    branch, width = make_branch(tiny_base), tiny_base.embed_dim
    with pytest.raises(InvalidBranch, match="1 class counts for 2 prompts"):
        branch.with_facts(SiteFacts(class_counts=(30,)), tiny_base)
    three = ClassStatistics(torch.ones(3, width), torch.tensor([5, 2, 3]), torch.eye(width))
    with pytest.raises(InvalidBranch, match="3 classes of"):
        branch.with_facts(SiteFacts(statistics=three), tiny_base)
