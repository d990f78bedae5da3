"""`medforge predict` and `medforge.load`: images in, answers out."""

import csv
import json
import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import medforge
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.client.data.pixels.decode import read_image
from medforge.client.data.pixels.files import walk
from medforge.errors import CorruptFile, InvalidInput
from medforge.model.answering import BATCH
from medforge.model.merged_model import MergedModel
from tests.aggregator.serving import serving
from tests.dicoms import pydicom_file, write_dicom
from tests.model.commands import refused, run


@pytest.fixture(scope="module")
def model(checkout: Path, tiny_base: BaseModule) -> MergedModel:
    return medforge.load(checkout, base=tiny_base)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_answers_are_the_items_own(model: MergedModel, tiny_base: BaseModule, pictures: Path) -> None:
    files = list(walk(pictures))
    pixels = torch.from_numpy(np.stack([read_image(path, tiny_base.image_size) for path in files]))
    prompts = [one.prompt for task in model.tasks for one in task.classes]
    expected = model.item.logits(tiny_base, tiny_base.normalise(pixels), prompts).argmax(dim=1).tolist()
    assert [one.prompt for one in model.predict(files)] == [prompts[place] for place in expected]


def test_an_image_answers_the_same_however_it_is_given(model: MergedModel, pictures: Path) -> None:
    for path in walk(pictures):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        array = np.asarray(picture)
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        expected = model.predict(path)
        for given in (str(path), picture, array, tensor, [array], tensor.unsqueeze(0), iter([picture])):
            assert model.predict(given) == expected
    grey = np.zeros((40, 40), np.uint8)
    assert model.predict(grey) == model.predict(np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((8, 8, 3)), "float64 values has no known range; give uint8"),
        (torch.zeros(1, 5, 8, dtype=torch.uint8), r"values \[1, 5, 8\] are no image"),
        (np.zeros((0, 8, 3), np.uint8), r"values \[0, 8, 3\] are no image"),
        (3, "a int is no image"),
        (Image.new("I;16", (8, 8)), "more than 8 bits a channel"),
    ],
)
def test_what_is_no_image_is_refused(model: MergedModel, given: object, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        model.predict(given)  # type: ignore[arg-type]


def test_more_than_eight_bits_need_a_window_whichever_way_they_come(
    model: MergedModel, checkout: Path, tiny_spec: str, tmp_path: Path
) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    shown = np.clip(np.rint((deep.astype(float) - 500) / 2000 * 255), 0, 255).astype(np.uint8)
    expected = model.predict(shown)
    signed = torch.from_numpy(deep.astype(np.int16))
    for given in (path, Image.open(path), deep, deep.astype(np.float32), signed, signed.to(torch.float64)):
        assert model.predict(given, window="1500,2000") == expected
        with pytest.raises(InvalidInput, match="window"):
            model.predict(given)
    # bfloat16 keeps 8 bits of a number, which is too few for these; it is read all the same
    assert len(model.predict(signed.to(torch.bfloat16), window="auto")) == 1
    with pytest.raises(InvalidInput, match="window=wide is no window; write"):
        model.predict(path, window="wide")
    asked = ("predict", checkout, path, "--base", tiny_spec)
    document = json.loads(run(*asked, "--window", "1500,2000", "--json").stdout)
    assert document["predictions"][0]["ranking"][0]["p"] == pytest.approx(expected[0].probability, abs=1e-6)
    assert "give --window=CENTRE,WIDTH" in refused(*asked)
    Image.new("L", (1001, 1000)).save(tmp_path / "large.png")
    large = refused("predict", checkout, tmp_path / "large.png", "--base", tiny_spec, "--megapixels", "1")
    assert "allow so many with --megapixels=2" in large
    assert "window=wide is no window" in refused(*asked, "--window", "wide")


def test_a_picture_in_memory_stands_as_its_file_does(model: MergedModel, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=tags)
    upright = np.rint(pixels[..., :3] * (pixels[..., 3:] / 255)).astype(np.uint8).swapaxes(0, 1)[:, ::-1]
    expected = model.predict(upright)[0]
    for given in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        found = model.predict(given)[0]
        assert (found.key, found.probability) == (expected.key, pytest.approx(expected.probability, abs=1e-3))


def test_files_of_any_name_are_answered(checkout: Path, pictures: Path, tiny_spec: str, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"caf\xe9.png", b"two\nlines.png", b"\x1b[31mred.png", b"-rf.png", b"x" * 251 + b".png", b"[b]a,b.png"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(next(walk(pictures)).read_bytes())
    out, page = tmp_path / "out.csv", tmp_path / "page.html"
    said = run("predict", checkout, folder, "--base", tiny_spec, "--csv", out, "--gallery", page).stdout
    assert all(c.isprintable() or c == "\n" for c in said)
    assert len({row["image"] for row in rows_of(out)}) == len(names)
    document = json.loads(run("predict", checkout, folder, "--base", tiny_spec, "--json").stdout)
    assert len(document["predictions"]) == len(names)
    assert "there is no image" in refused("predict", checkout, "y" * 5000)


def test_many_images_stream_in_batches(model: MergedModel) -> None:
    size, asked = model.base.image_size, 0

    def drawn() -> "np.typing.NDArray[np.uint8]":
        nonlocal asked
        asked += 1
        return np.full((3, size, size), asked % 256, np.uint8)

    answers = model.stream(drawn() for _ in count())
    for _ in range(BATCH + 1):
        next(answers)
    assert asked == 2 * BATCH


def test_a_folder_becomes_a_table_of_answers(
    checkout: Path, forge: Path, pictures: Path, tiny_spec: str, tmp_path: Path, model: MergedModel
) -> None:
    out = tmp_path / "out.csv"
    said = run(
        "predict", checkout, pictures, "--base", tiny_spec, "--csv", out, "--top", 3, "--gallery", tmp_path / "g.html"
    )
    assert f"answers: {out}" in said.stdout
    rows, files = rows_of(out), list(walk(pictures))
    assert [row["image"] for row in rows] == [str(path) for path in files]
    for row, one in zip(rows, model.predict(files, top=3), strict=True):
        assert (row["task"], row["class"], row["class_2"]) == (one.task, one.key, one.ranking[1].key)
        assert float(row["p"]) == pytest.approx(one.probability, abs=1e-6)
        assert float(row["p_task"]) * float(row["p_class"]) == pytest.approx(float(row["p"]), abs=1e-5)
        assert row["none_of_these"] == (str(one.none_of_these).lower() if one.task == "lung" else "")
        assert row["answer"] == ("none of these" if one.none_of_these else one.key)
    # a spreadsheet must not take a contributor's name for a formula
    for row, one in zip(rows, model.predict(files), strict=True):
        who = "; ".join(model.card.who(branch) for branch in one.answered_by)
        assert row["answered_by"] == (f"'{who}" if who.startswith("=") else who)
        assert "=cmd" in who
    page = (tmp_path / "g.html").read_text()
    assert page.count('<img src="data:image/png') == len(files)
    assert "&lt;b&gt;Klinik" in page
    assert "<b>Klinik" not in page
    # a forge's directory knows where its base module's checkpoint lies
    run("predict", forge, pictures, "--csv", tmp_path / "forge.csv", "--top", 3)
    assert (tmp_path / "forge.csv").read_bytes() == out.read_bytes()


def test_answers_replace_nothing_that_is_read_and_no_folder(checkout: Path, tiny_spec: str, tmp_path: Path) -> None:
    image, table = tmp_path / "scan.png", tmp_path / "scans.csv"
    Image.new("RGB", (40, 40), (9, 90, 200)).save(image)
    table.write_text("image\nscan.png\n")
    before = image.read_bytes(), table.read_bytes()
    asked = ("predict", checkout, table, "--base", tiny_spec)
    assert "scan.png would be replaced, which is read" in refused(*asked, "--csv", image)
    assert "scans.csv would be replaced, which is read" in refused(*asked, "--csv", table)
    assert "is another result; name another file" in refused(
        *asked, "--csv", tmp_path / "a", "--gallery", tmp_path / "a"
    )
    assert "not written to standard output as '-'; name a file" in refused(*asked, "--csv", "-")
    assert f"{tmp_path} cannot be written: it is a folder" in refused(*asked, "--csv", tmp_path)
    assert "there is no folder" in refused(*asked, "--gallery", tmp_path / "new" / "a.html")
    (tmp_path / "link.csv").symlink_to(table)
    assert "link.csv cannot be written" in refused(*asked, "--csv", tmp_path / "link.csv")
    assert (image.read_bytes(), table.read_bytes()) == before


def test_a_script_reads_one_document(checkout: Path, pictures: Path, tiny_spec: str) -> None:
    listed = "\n".join(str(path) for path in walk(pictures))
    found = json.loads(run("predict", checkout, "-", "--base", tiny_spec, "--json", stdin=listed).stdout)
    assert [one["image"] for one in found["predictions"]] == listed.split("\n")
    for one in found["predictions"]:
        first = one["ranking"][0]
        assert first["p"] == pytest.approx(first["p_task"] * first["p_class"])
        assert (one["none_of_these"] is None) == (first["task"] == "colon")
    assert found["skipped"] == []


def test_a_table_names_images_beside_itself(checkout: Path, pictures: Path, tiny_spec: str, tmp_path: Path) -> None:
    table = pictures / "table.csv"
    table.write_bytes("\ufeffage;Image\r\n7;image 1.png\r\n8;more/image 3.png\r\n".encode())
    try:
        run("predict", checkout, table, "--base", tiny_spec, "--csv", tmp_path / "out.csv", "--task", "colon")
    finally:
        table.unlink()
    rows = rows_of(tmp_path / "out.csv")
    assert [row["image"] for row in rows] == [str(pictures / "image 1.png"), str(pictures / "more/image 3.png")]
    assert {row["p_task"] for row in rows} == {"1.000000"}


def test_over_the_wire_it_is_fetched_once_and_verified(
    forge: Path, pictures: Path, tiny_base: BaseModule, tiny_spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDFORGE_CACHE", str(tmp_path / "cache"))
    with serving(forge, tiny_base, settings=choose_settings()) as (_, at):
        words = ("predict", "--at", at, "--base", tiny_spec, pictures, "--csv")
        run(*words, tmp_path / "first.csv")
        (kept,) = (tmp_path / "cache/models").iterdir()
        spread = kept / "item/tasks/lung/spread.safetensors"
        whole = spread.read_bytes()
        spread.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CorruptFile, match="another forge item than its model.json names"):
            medforge.load(kept, base=tiny_base)
        # what was changed in the cache is fetched again, not believed
        run(*words, tmp_path / "second.csv")
        assert spread.read_bytes() == whole
        # a cache that cannot be written to is done without
        monkeypatch.setenv("MEDFORGE_CACHE", str(tmp_path / "first.csv"))
        run(*words, tmp_path / "third.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


def test_the_graph_answers_as_the_model_that_it_was_made_of(
    checkout: Path, pictures: Path, tiny_spec: str, tmp_path: Path, model: MergedModel
) -> None:
    graph, out = tmp_path / "graph", tmp_path / "out.csv"
    run("export", checkout, "--to", "onnx", "--base", tiny_spec, "--out", graph)
    run("predict", graph, pictures, "--csv", out, "--gallery", tmp_path / "g.html", "--top", 2)
    for row, one in zip(rows_of(out), model.predict(list(walk(pictures)), top=2), strict=True):
        assert (row["task"], row["class"], row["class_2"]) == (one.task, one.key, one.ranking[1].key)
        assert float(row["p"]) == pytest.approx(one.probability, abs=1e-5)
        assert row["answered_by"] == "; ".join(branch[:8] for branch in one.answered_by)
    found = json.loads(run("predict", graph, pictures, "--engine", "onnx", "--json").stdout)
    assert [one["answer"] for one in found["predictions"]] == [row["answer"] for row in rows_of(out)]
    assert "is an ONNX graph; leave --engine out" in refused("predict", graph, pictures, "--engine", "torch")
    by_torch = json.loads(
        run("predict", checkout, pictures, "--base", tiny_spec, "--expert-memory", "0", "--json").stdout
    )
    for engine in ("onnx", "openvino"):
        of_engine = json.loads(
            run("predict", checkout, pictures, "--base", tiny_spec, "--engine", engine, "--json").stdout
        )
        assert [one["answer"] for one in of_engine["predictions"]] == [one["answer"] for one in by_torch["predictions"]]
    assert "engine onnx computes in fp32, not in bf16" in refused(
        "predict", checkout, pictures, "--engine", "onnx", "--dtype", "bf16"
    )
    assert "engine 'tensorrt' is not known" in refused("predict", graph, pictures, "--engine", "tensorrt")


class TestMistakes:
    """Each gets a sentence, and nothing is written."""

    def test_a_broken_image_is_named_and_can_be_left_out(
        self, checkout: Path, pictures: Path, tiny_spec: str, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.png"
        broken.write_bytes((pictures / "image 1.png").read_bytes()[:900])
        good, out = pictures / "image 0.png", tmp_path / "out.csv"
        (tmp_path / "notes.txt").write_text("no image")
        said = refused("predict", checkout, good, tmp_path / "notes.txt", "--base", tiny_spec, "--csv", out)
        assert "notes.txt is not a readable image; replace or remove it, or leave out what cannot be read with" in said
        said = refused("predict", checkout, good, broken, "--base", tiny_spec, "--csv", out)
        assert f"{broken} cannot be decoded" in said
        assert "--skip-bad" in said
        assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob(".*"))
        result = run("predict", checkout, good, broken, "--base", tiny_spec, "--csv", out, "--skip-bad")
        assert [row["image"] for row in rows_of(out)] == [str(good)]
        assert f"skipped: {broken}" in result.stderr
        assert "skipped 1 of 2 images" in result.stdout
        assert "no image could be read" in refused("predict", checkout, broken, "--base", tiny_spec, "--skip-bad")

    def test_words_that_mean_nothing(self, checkout: Path, pictures: Path, tiny_spec: str, tmp_path: Path) -> None:
        assert "no model is named" in refused("predict")
        assert "no image is named" in refused("predict", checkout)
        assert "there is no image nowhere.png (and 1 more)" in refused("predict", checkout, "nowhere.png", "else.png")
        assert "has no model.json; make it with `medforge checkout`" in refused("predict", pictures, pictures)
        assert "threshold 0.995 is no share" in refused("predict", checkout, pictures, "--threshold", "0.995")
        assert "0 classes an image" in refused("predict", checkout, pictures, "--top", 0)
        asked = (checkout, pictures, "--base", tiny_spec)
        assert "the model has no task 'skin'; it has colon, lung" in refused("predict", *asked, "--task", "skin")
        assert "holds one commit; leave --commit out" in refused("predict", *asked, "--commit", "head")
        assert "not on" in refused("predict", checkout, pictures, "--base", "medforge-tiny")
        assert "give it with --base ARCH:CHECKPOINT_PATH" in refused("predict", checkout, pictures)
        (tmp_path / "empty").mkdir()
        assert "is empty; add images" in refused("predict", checkout, tmp_path / "empty")
        cannot = refused("predict", *asked, "--csv", tmp_path / "nowhere" / "out.csv")
        assert "cannot be written" in cannot

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"age,label\n7,x\n", "has no column of images, only age, label; call it image"),
            (b"image,age\na.png,7\n,8\n", "line 3 names no image"),
            (b"image\n\0\n", "is no text"),
            (b"image,file\na.png,b.png\n", "several columns that may be the image: image, file"),
            (b'image\n"a.png\n', "is no line of a table"),
            (b"image\n", "lists no image"),
        ],
    )
    def test_tables_that_are_none(self, checkout: Path, tmp_path: Path, content: bytes, sentence: str) -> None:
        table = tmp_path / "table.csv"
        table.write_bytes(content)
        assert sentence in refused("predict", checkout, table)


def test_a_dicom_file_is_answered_through_its_own_window(
    model: MergedModel, checkout: Path, tiny_spec: str, tmp_path: Path
) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)
    shown = np.rint(np.clip((deep - 1000.0) / 2000, 0, 1) * 255).astype(np.uint8)
    windowed = write_dicom(tmp_path / "scans" / "IM1", deep, WindowCenter=2000.5, WindowWidth=2001)
    assert model.predict(windowed) == model.predict(shown)
    assert model.predict(windowed, window="500,1000") != model.predict(windowed)
    document = json.loads(run("predict", checkout, tmp_path / "scans", "--base", tiny_spec, "--json").stdout)
    assert len(document["predictions"]) == 1
    plain = write_dicom(tmp_path / "plain", deep)
    with pytest.raises(InvalidInput, match="plain has 16 bits a pixel and no such window in its header"):
        model.predict(plain)
    assert model.predict(plain, window="2000,2000") == model.predict(shown)
    assert "no picture (Basic Text SR); leave it out" in refused(
        "predict", checkout, pydicom_file("reportsi.dcm"), "--base", tiny_spec
    )
    said = refused("predict", checkout, plain, "--base", tiny_spec)
    assert "give --window=CENTRE,WIDTH, --window=auto or --window=full, or leave out" in said
    with pytest.raises(InvalidInput, match="holds 2 frames"):
        model.predict(pydicom_file("SC_rgb_rle_2frame.dcm"))
