"""`medforge merge`: directories in, the same model out as a forge would make."""

import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import medforge
from medforge.aggregator.cli.options import MergeOptions
from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.cli.option_groups import flattened
from medforge.model.cli.merge import merge
from medforge.model.merge_plan import MergePlan
from medforge.model_directory import load_model
from tests.making import make_plugin
from tests.model.commands import refused, run


@pytest.fixture(scope="module")
def parts(forge: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The forge's three branches, as directories."""
    opened = Forge.open(forge)
    folder, found = tmp_path_factory.mktemp("parts"), []
    for number in (1, 2, 3):
        found.append(folder / f"branch-{number}")
        opened.load_branch(number).save(found[-1])
    opened.close()
    return found


@pytest.fixture(scope="module")
def plugins(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("plugins")
    for seed in (0, 1):
        make_plugin(tiny_base, seed).save(folder / str(seed))
    return [folder / "0", folder / "1"]


def test_branches_give_what_a_forge_makes_of_them_to_the_byte(
    parts: list[Path], checkout: Path, tiny_spec: str, tmp_path: Path
) -> None:
    said = run("merge", *parts, "--base", tiny_spec, "--out", tmp_path / "m").stdout
    assert "3 merged by routed into" in said
    assert "routed, colon, lung" in said
    card, item = load_model(tmp_path / "m")
    theirs, same = load_model(checkout)
    assert item.files() == same.files()
    assert [one.name for one in card.tasks] == [one.name for one in theirs.tasks]
    assert [(one.branch, one.who, one.share) for one in card.members] == [
        (one.branch, one.who, one.share) for one in theirs.members
    ]
    assert card.commit is None
    assert card.recipe.method == theirs.recipe.method


def test_a_merged_directory_answers_images(
    parts: list[Path], pictures: Path, tiny_base: BaseModule, tiny_spec: str, tmp_path: Path
) -> None:
    run("merge", *parts, "--base", tiny_spec, "--method", "ties", "--out", tmp_path / "m")
    model = medforge.load(tmp_path / "m", base=tiny_base)
    found = model.predict(pictures / "image 0.png", top=9)[0]
    assert len(found.ranking) == 4
    assert sum(one.probability for one in found.ranking) == pytest.approx(1)
    assert (found.distance, found.percentile, found.none_of_these) == (None, None, False)
    assert found.answered_by == tuple(one.branch for one in model.card.members)
    lung = model.predict(pictures / "image 0.png", task="lung")[0]
    assert (lung.task, lung.task_probability) == ("lung", pytest.approx(1))


def test_only_the_proportions_of_weights_count(
    plugins: list[Path], tiny_base: BaseModule, tiny_spec: str, tmp_path: Path
) -> None:
    asked = ("merge", *plugins, "--base", tiny_spec, "--method", "model-soup")
    run(*asked, "--weights", "3,1", "--out", tmp_path / "a")
    run(*asked, "--weights", "0.75,0.25", "--out", tmp_path / "b")
    card, item = load_model(tmp_path / "a")
    assert item.files() == load_model(tmp_path / "b")[1].files()
    one, other = (make_plugin(tiny_base, seed).deltas(tiny_base) for seed in (0, 1))
    for site, change in item.weight_change(tiny_base).items():
        torch.testing.assert_close(change, 0.75 * one[site] + 0.25 * other[site], atol=1e-6, rtol=1e-5)
    assert card.tasks == ()


def test_a_recipe_says_all_of_it(parts: list[Path], plugins: list[Path], tiny_spec: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
merge_method: ties
base_model: "{tiny_spec}"
models:
  - model: {plugins[0]}
    parameters: {{weight: 2}}
  - model: {plugins[1]}
parameters: {{density: 0.4}}
tasks:
  - name: skin
    modality: dermatoscopy
    classes: {{naevus: a naevus, melanoma: a melanoma}}
"""
    )
    found = json.loads(run("merge", recipe, "--out", tmp_path / "a", "--json").stdout)
    assert found["tasks"] == ["skin"]
    words = ("--method", "ties", "--weights", "2,1", "--parameter", "density=0.4", "--base", tiny_spec)
    run("merge", *plugins, *words, "--out", tmp_path / "b")
    (card, item), (_, same) = load_model(tmp_path / "a"), load_model(tmp_path / "b")
    assert item.files() == same.files()
    assert [(one.key, one.prompt) for one in card.tasks[0].classes] == [
        ("naevus", "a naevus"),
        ("melanoma", "a melanoma"),
    ]
    assert "write method, expert into" in refused(
        "merge", recipe, "--method", "ties", "--expert", "mean", "--out", tmp_path / "c"
    )


def test_every_setting_of_a_forge_s_merge_is_there(parts: list[Path], tiny_spec: str, tmp_path: Path) -> None:
    forges = {field.name for field in fields(MergeOptions)} - {"merge"}
    taken = set(inspect.signature(flattened(merge)).parameters)
    assert forges <= taken
    mode = {"level": "output", "coefficients": "sequential", "objective": "reference"}
    typed = MergePlan.of(parts, method="mixture", parameters=(), **mode)
    assert typed.settings.model_dump().items() >= mode.items()
    recipe = tmp_path / "recipe.yaml"
    models = [{"model": str(part)} for part in parts]
    recipe.write_text(json.dumps({"merge_method": "mixture", "base_model": tiny_spec, "models": models, **mode}))
    assert MergePlan.of([recipe]).settings == typed.settings
    asked = ("--method", "ties", "--objective", "reference", "--base", tiny_spec)
    assert "reference" in refused("merge", *parts, *asked, "--out", tmp_path / "m")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("models: [{model: x}]\nslices: 3\n", "slices: Extra inputs are not permitted; a recipe has merge_method"),
        ("models: []\n", "models: Tuple should have at least 1 item"),
        (
            "models: [{model: x, parameters: {weight: -1}}]\n",
            "models.0.parameters.weight: Input should be greater than 0",
        ),
        ("- a\n- b\n", "is no recipe; write merge_method, base_model and models"),
        ("a: [\n", "is no YAML"),
        ("models: [{model: x}]\nmerge_method: slerp\n", "'slerp' is not known; choose one of"),
        ("models: [{model: nowhere}]\n", "nowhere is neither a branch (manifest.json) nor a plugin"),
        ("models: !!python/object/apply:os.system [true]\n", "is no YAML"),
    ],
)
def test_a_recipe_that_is_none_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "r.yaml").write_text(content)
    assert sentence in refused("merge", tmp_path / "r.yaml", "--out", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_mistakes_get_a_sentence_before_anything_is_written(
    parts: list[Path], plugins: list[Path], tiny_spec: str, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "m")
    assert "2 weights are given for 3 directories" in refused("merge", *parts, "--weights", "1,2", *out)
    assert "are no numbers" in refused("merge", *parts, "--weights", "a,b,c", *out)
    assert "not all above 0" in refused("merge", *plugins, "--weights", "1,nan", *out)
    assert "give it with --base" in refused("merge", *plugins, *out)
    assert "is neither a branch" in refused("merge", tmp_path, *out)
    assert "is given twice; give each once" in refused("merge", *parts, parts[0], "--base", tiny_spec, *out)
    searched = refused("merge", *plugins, "--method", "fusion", "--base", tiny_spec, *out)
    assert "searches on distilled data; give branches" in searched
    assert "not to" in refused("merge", *plugins, "--base", "medforge-tiny", *out)
    assert "is not an empty directory" in refused("merge", *plugins, "--out", plugins[0])
    assert "have no images to be weighed" in refused(
        "merge", *plugins, "--weights", "images", "--base", tiny_spec, *out
    )
    assert not (tmp_path / "m").exists()


def test_an_adapter_made_elsewhere_is_merged_as_its_plugin(
    plugins: list[Path], tiny_base: BaseModule, tiny_spec: str, tmp_path: Path
) -> None:
    asked = ("--method", "model-soup", "--base", tiny_spec)
    run("merge", plugins[0], *asked, "--out", tmp_path / "one")
    run("export", tmp_path / "one", "--to", "peft", "--base", tiny_spec, "--out", tmp_path / "foreign")
    config = tmp_path / "foreign" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "a/clip"}))
    run("merge", tmp_path / "foreign", plugins[1], *asked, "--out", tmp_path / "a")
    run("merge", *plugins, *asked, "--out", tmp_path / "b")
    (_, found), (_, due) = load_model(tmp_path / "a"), load_model(tmp_path / "b")
    wanted = due.weight_change(tiny_base)
    for site, change in found.weight_change(tiny_base).items():
        torch.testing.assert_close(change, wanted[site], atol=1e-5, rtol=1e-4)
    changed = json.loads(config.read_text()) | {"init_lora_weights": "pissa"}
    config.write_text(json.dumps(changed))
    assert "pissa" in refused("merge", tmp_path / "foreign", plugins[1], *asked, "--out", tmp_path / "c")
