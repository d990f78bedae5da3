"""The embedded base: its size, its tokenizer, its weights, and what a broken installation says."""

import itertools
from importlib.resources import files

import pytest
import torch

import medforge.embedded as embedded
from medforge.base import load_base
from medforge.embedded import DIGESTS, load_embedded
from medforge.embedded.tokenizer import FoldedTokenizer
from medforge.errors import CorruptFile, InvalidInput

PROMPTS = (
    "benign breast tissues", "malignant breast tumors", "lung squamous cell carcinomas", "lung adenocarcinomas",
    "benign lung tissues", "colon adenocarcinomas", "benign colon tissues", "negative colon tumor",
    "positive colon tumor", "glioma tumor", "meningioma tumor", "no tumor", "pituitary tumor", "normal", "pneumonia",
)  # fmt: skip


def test_package_files_stay_small() -> None:
    names = ("medforge_tiny.safetensors", "medforge_tiny.json", "tokenizer.py", "__init__.py")
    total = sum(len(files("medforge.embedded").joinpath(name).read_bytes()) for name in names)
    assert total <= 8_000_000


def test_loads_twice_the_same_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = load_embedded()[0], load_embedded()[0]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in first.parameters())
    assert not first.training


def test_end_mark_is_the_highest_code_and_texts_are_cut() -> None:
    tokenizer = FoldedTokenizer(vocabulary=3782, context_length=8)
    rows = tokenizer(["benign", "word " * 50, ""])
    assert rows.shape == (3, 8)
    assert rows.max() == 3781
    assert [int(row.argmax()) for row in rows] == [len(tokenizer.encode("benign")) + 1, 7, 1]
    assert (rows[:, 0] == 3780).all()


def test_prompts_of_known_tasks_stay_apart_in_the_folded_vocabulary() -> None:
    tokenizer = FoldedTokenizer(vocabulary=3782, context_length=32)
    words = sorted({word for prompt in PROMPTS for word in prompt.split()})
    codes = [tuple(tokenizer.encode(word)) for word in words]
    assert len(set(codes)) == len(words)


def test_prompts_have_distinct_directions() -> None:
    base = load_base("medforge-tiny", "cpu")
    features = base.prompt_features(PROMPTS)
    for one, two in itertools.combinations(range(len(PROMPTS)), 2):
        assert float(features[one] @ features[two]) < 0.9999


def test_base_module_embeds_what_the_embedded_model_embeds() -> None:
    clip, _, card = load_embedded()
    base = load_base("medforge-tiny", "cpu")
    pixels = torch.randint(0, 256, (3, 3, card["size"], card["size"]), generator=torch.Generator().manual_seed(0))
    images = base.normalise(pixels.to(torch.uint8))
    with torch.no_grad():
        torch.testing.assert_close(base.embed(images), clip.encode_image(images), atol=1e-5, rtol=1e-5)


def test_unknown_name_is_named() -> None:
    with pytest.raises(InvalidInput, match="no embedded base named 'medforge-huge'; use one of medforge-tiny"):
        load_embedded("medforge-huge")


@pytest.mark.parametrize("keep", [0, 100, 100_000])
def test_truncated_weights_say_what_to_do(keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = embedded._read
    monkeypatch.setattr(embedded, "_read", lambda file: whole(file)[: keep if file.endswith("tensors") else None])
    with pytest.raises(CorruptFile, match=r"is not the one that was published; install medforge again"):
        load_embedded()


@pytest.mark.parametrize("file", sorted(DIGESTS))
@pytest.mark.parametrize("place", [0, -2])
def test_one_changed_byte_is_noticed_and_named(file: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = embedded._read

    def changed(name: str) -> bytes:
        data = bytearray(whole(name))
        data[place] ^= name == file
        return bytes(data)

    monkeypatch.setattr(embedded, "_read", changed)
    sentence = (
        f"the file {file} of the embedded model medforge-tiny is not the one that was published; install medforge again"
    )
    with pytest.raises(CorruptFile) as error:
        load_embedded()
    assert str(error.value) == sentence


def test_every_file_that_travels_with_the_model_has_its_digest() -> None:
    shipped = {file.name for file in files("medforge.embedded").iterdir() if not file.name.endswith((".py", ".md"))}
    assert shipped - {"__pycache__"} == set(DIGESTS)
