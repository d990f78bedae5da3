"""`medforge evaluate` on images that are there to be scored alone: what it prints, writes and refuses."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import medforge
from medforge.aggregator.merge import choose_settings
from medforge.assessment.result import Assessment
from medforge.base_facts import BaseFacts
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.client.data.catalogue import open_task
from medforge.client.evaluate import score_item
from medforge.declared_task import TaskClass
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.model_card import CardTask, ModelCard, Recipe
from medforge.model_directory import CARD_FILE
from tests.aggregator.forges import fold_in_memory
from tests.client.tasks import write_folder
from tests.making import make_distilled, make_plugin

PROMPTS = ("bright tissue", "dark tissue", "grey tissue")


def evaluate(*arguments: object) -> str:
    words = ["evaluate", *(str(one) for one in arguments)]
    result = CliRunner().invoke(build_app(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def branch(base: BaseModule, task: str, seed: int, prompts: tuple[str, ...]) -> Branch:
    distilled = make_distilled(base, seed=seed, prompts=prompts)
    return Branch.build(
        make_plugin(base, seed=seed), distilled, contributor=task, task=task, base=base, training_images=10,
        recipe="test", seed=0, validation={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a test split alone, 10 images of each of two classes."""
    root = write_folder(tmp_path_factory.mktemp("images") / "shades", train=2, test=20)
    shutil.rmtree(root / "train")
    return root


@pytest.fixture(scope="module")
def routed(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged model of two tasks, as an earlier version checked it out; one of three classes has those of the set."""
    branches = [branch(tiny_base, "shades", 1, PROMPTS), branch(tiny_base, "organs", 2, ("lung", "colon"))]
    place = tmp_path_factory.mktemp("model") / "item"
    fold_in_memory(tiny_base, choose_settings(method="routed"), branches)[-1].item.save(place)
    return place


def card(directory: Path, spec: str, item: ForgeItem, *names: str) -> None:
    """Write what a checkout of this version says of tasks of these names, each with the three shades."""
    classes = tuple(TaskClass(key=prompt.split()[0], prompt=prompt) for prompt in PROMPTS)
    made = ModelCard(
        medforge="0", kind=item.kind, item=item.digest, base=BaseFacts(spec=spec, fingerprint=item.base_fingerprint),
        tasks=tuple(CardTask(name=name, classes=classes) for name in names), members=(),
        recipe=Recipe(method={}, seed=0),
    )  # fmt: skip
    (directory / CARD_FILE).write_bytes(made.to_bytes())


def test_a_test_split_alone_is_scored_among_all_classes_of_the_models_task(
    images: Path, routed: Path, tiny_spec: str, tiny_base: BaseModule, tmp_path: Path
) -> None:
    found = json.loads(evaluate(f"folder:{images}", "--item", routed, "--base", tiny_spec, "--json"))
    assert (found["task"], found["images"], found["split"]) == ("shades", 20, "test")
    assessment = Assessment.model_validate(found["assessment"])
    assert {one.name for one in assessment.classes} == {"bright-tissue", "dark-tissue", "grey-tissue"}
    absent = next(one for one in assessment.classes if one.name == "grey-tissue")
    assert (absent.sensitivity, absent.counts.found + absent.counts.missed) == (None, 0)
    # the images among all three classes, put to the model by themselves
    task = open_task(f"folder:{images}", tiny_base.image_size, scoring="test")
    logits = ForgeItem.load(routed).logits(tiny_base, tiny_base.normalise(task.test.images[:]), PROMPTS)
    right = [
        PROMPTS[place] == task.prompts[label] for place, label in zip(logits.argmax(1), task.test.labels, strict=True)
    ]
    assert found["acc"] == assessment.accuracy.value == sum(right) / 20


def test_a_single_network_is_scored_as_before(
    images: Path, tiny_spec: str, tiny_base: BaseModule, tmp_path: Path
) -> None:
    item = FusedPlugin(make_plugin(tiny_base, seed=3))
    item.save(tmp_path / "item")
    found = json.loads(evaluate(f"folder:{images}", "--item", tmp_path / "item", "--base", tiny_spec, "--json"))
    task = open_task(f"folder:{images}", tiny_base.image_size, scoring="test")
    wanted = score_item(item, tiny_base, task, "test")
    assert (found["acc"], found["loss"]) == (wanted.acc, pytest.approx(wanted.loss))
    assert [one["name"] for one in found["assessment"]["classes"]] == ["bright_tissue", "dark_tissue"]


def test_a_checkout_names_its_base_and_its_classes(
    images: Path, tiny_spec: str, tiny_base: BaseModule, tmp_path: Path
) -> None:
    item = FusedPlugin(make_plugin(tiny_base, seed=3))
    item.save(tmp_path)
    card(tmp_path, tiny_spec, item, "shades", "more shades")
    with pytest.raises(InvalidInput, match="the tasks shades, more shades of the model have these classes; say which"):
        evaluate(f"folder:{images}", "--item", tmp_path)
    said = evaluate(f"folder:{images}", "--item", tmp_path, "--task", "more shades")
    assert "more shades, 20 images of the test split, by patch: accuracy 0." in said
    for part in ("balanced accuracy", "Brier", "specificity", "true class, answered as", "Wilson", "grey"):
        assert part in said
    with pytest.raises(InvalidInput, match="the model has no task 'lungs'; choose one of shades, more shades"):
        evaluate(f"folder:{images}", "--item", tmp_path, "--task", "lungs")


def test_figures_and_numbers_are_written(images: Path, routed: Path, tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    command = (f"folder:{images}", "--item", routed, "--base", tiny_spec, "--out", out)
    printed = json.loads(evaluate(*command, "--json"))
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.{kind}" for name in ("confusion", "roc", "reliability") for kind in ("svg", "pdf", "csv")),
        "numbers.csv", "numbers.tex", "assessment.json",
    }  # fmt: skip
    assert json.loads((out / "assessment.json").read_bytes()) == printed["assessment"]
    rows = list(csv.DictReader((out / "numbers.csv").open()))
    (accuracy,) = (row for row in rows if row["measure"] == "accuracy")
    assert float(accuracy["value"]) == printed["acc"]
    table = list(csv.reader((out / "confusion.csv").open()))
    assert [list(map(int, row[1:])) for row in table[1:]] == printed["assessment"]["confusion"]
    assert (out / "roc.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(InvalidInput, match="figures is not an empty directory; give a new one with --out"):
        evaluate(*command)


def test_images_of_a_patient_count_together(images: Path, routed: Path, tiny_spec: str, tmp_path: Path) -> None:
    root = shutil.copytree(images, tmp_path / "shades")
    paths = sorted(root.rglob("*.png"))
    rows = [f"{path.relative_to(root)},{path.parent.name} {place // 2}" for place, path in enumerate(paths)]
    (root / "patients.csv").write_text("\n".join(["path,group", *rows]) + "\n")
    command = (f"folder:{root},groups=patients.csv", "--item", routed, "--base", tiny_spec)
    said = " ".join(evaluate(*command).split())
    assert "the 20 images come from 10 groups, which the intervals allow for" in said


def test_a_map_says_which_classes_the_folders_are(images: Path, routed: Path, tiny_spec: str, tmp_path: Path) -> None:
    root, table = shutil.copytree(images, tmp_path / "shades"), tmp_path / "folders.csv"
    (root / "test" / "bright_tissue").rename(root / "test" / "Hell")
    (root / "test" / "dark_tissue").rename(root / "test" / "Dunkel")
    # one of two folders of the same class
    (root / "test" / "Nacht").mkdir()
    for path in sorted((root / "test" / "Dunkel").iterdir())[:4]:
        path.rename(root / "test" / "Nacht" / path.name)
    command = (f"folder:{root}", "--item", routed, "--base", tiny_spec, "--json")
    with pytest.raises(InvalidInput, match=r"does not know the class 'Dunkel' of shades; .* say with --map which one"):
        evaluate(*command)
    table.write_text("folder,class\nHell,bright-tissue\nDunkel,dark-tissue\n")
    with pytest.raises(InvalidInput, match="the map lacks the folder 'Nacht'; add a line for it"):
        evaluate(*command, "--map", table)
    with table.open("a") as file:
        file.write("Nacht,dark-tissue\n")
    found = json.loads(evaluate(*command, "--map", table))
    named = json.loads(evaluate(f"folder:{images}", *command[1:]))
    assert found["acc"] == named["acc"]
    assert sorted(found["assessment"]["confusion"]) == sorted(named["assessment"]["confusion"])
    table.write_text(table.read_text().replace("bright-tissue", "violet"))
    with pytest.raises(InvalidInput, match="the model does not know the class 'violet' of shades"):
        evaluate(*command, "--map", table)


def test_a_map_for_a_model_without_classes_is_refused(
    images: Path, tiny_spec: str, tiny_base: BaseModule, tmp_path: Path
) -> None:
    FusedPlugin(make_plugin(tiny_base, seed=3)).save(tmp_path / "item")
    (tmp_path / "folders.csv").write_text("folder,class\nbright_tissue,bright\ndark_tissue,dark\n")
    with pytest.raises(InvalidInput, match="this model names no classes of a task"):
        evaluate(
            f"folder:{images}", "--item", tmp_path / "item", "--base", tiny_spec, "--map", tmp_path / "folders.csv"
        )


def test_the_public_api_opens_a_test_split_alone(images: Path, tiny_base: BaseModule) -> None:
    task = medforge.open_task(f"folder:{images}", tiny_base, scoring="test")
    assert (task.there, len(task.test)) == (("test",), 20)
    assert 0 <= medforge.score(None, tiny_base, task).acc <= 1
    with pytest.raises(InvalidInput, match="shades has no train split, so it can only score a model"):
        medforge.open_task(f"folder:{images}", tiny_base)


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (None, ["--split", "train"], "shades has no train split to score; choose --split test, or put class folders"),
        (None, ["--split", "all"], "there is no split 'all'; choose one of train, validation, test"),
        (None, ["--task", "organs"],
         "does not know the class 'bright_tissue' of shades; its task organs has colon, lung: name the class so, say"),
        ("empty", [], "test has 0 class folders; a task needs at least two"),
        ("stranger", [], "the model does not know the class 'violet' of shades; its task shades has bright-tissue, "),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_said(
    change: str | None, options: list[str], sentence: str, images: Path, routed: Path, tiny_spec: str, tmp_path: Path
) -> None:
    root = shutil.copytree(images, tmp_path / "shades")
    if change == "empty":
        shutil.rmtree(root / "test")
        (root / "test").mkdir()
    if change == "stranger":
        (root / "test" / "dark_tissue").rename(root / "test" / "violet")
    with pytest.raises(InvalidInput, match=sentence):
        evaluate(f"folder:{root}", "--item", routed, "--base", tiny_spec, *options)


def test_images_to_score_are_not_enough_to_train_on(images: Path, tiny_spec: str, tmp_path: Path) -> None:
    wanted = "shades has no train split, so it can only score a model; put class folders into .*train to train on it"
    with pytest.raises(InvalidInput, match=wanted):
        CliRunner().invoke(
            build_app(), ["train", f"folder:{images}", "--workspace", str(tmp_path / "w"), "--base", tiny_spec],
            catch_exceptions=False,
        )  # fmt: skip
    assert not (tmp_path / "w").exists()
    with pytest.raises(InvalidInput, match="sites are divided by their train split, which is missing; leave part out"):
        open_task(f"folder:{images},part=1/2,by=iid", 8, scoring="test")
