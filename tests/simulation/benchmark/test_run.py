"""`medforge benchmark` as a process, on a very small base and a few drawn images."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.simulation.benchmark.jobs.artefacts import Train, assemble
from medforge.simulation.benchmark.jobs.merges import Merge
from medforge.simulation.benchmark.jobs.methods import FUSION, GATED, routed
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import Centre
from tests.aggregator.forges import UNEXAMINED
from tests.simulation.waiting import wait_for

SMALL = "train=24,validation=8,test=16"
CENTRES = tuple(Centre(name=name, source=f"tissue:{name},{SMALL}") for name in ("breast", "lung"))
QUICK = (
    "train.max_steps=3", "train.batch=8", "train.plugin.rank=2", "distill.steps=3", "distill.ipc=2",
    "distill.real_batch=4", "distill.candidates=1", "distill.score_steps=2", "distill.extractor_rank=2",
)  # fmt: skip


def command(experiment: str, spec: str, out: Path, *options: str) -> list[str]:
    places = [word for centre in CENTRES for word in ("--centre", f"{centre.name}={centre.source}")]
    changes = [word for change in QUICK for word in ("--recipe-set", change)]
    return [
        sys.executable, "-m", "medforge", "benchmark", experiment, *places, "--base", spec, "--recipe", "tiny",
        *changes, "--device", "cpu", "--jobs", "2", "--seeds", "0", "--out", str(out), *options,
    ]  # fmt: skip


def bench_of(spec: str, out: Path) -> Bench:
    settings = BenchmarkSettings(
        centres=CENTRES, seeds=(0,), base=spec, recipe="tiny", changes=QUICK, device="cpu", dtype="fp32"
    )
    return Bench(settings, Store(out))


def run_here(*words: str) -> str:
    """Run the command in this process, which has imported everything already, and return its standard output."""
    from click.testing import CliRunner

    from medforge.cli import build_app

    assert words[1:3] == ("-m", "medforge")
    done = CliRunner().invoke(build_app(), words[3:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def out(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which Table 1 was made."""
    directory = tmp_path_factory.mktemp("benchmark") / "out"
    assert "MedForge-Fusion" in run_here(*command("table1", tiny_spec, directory))
    return directory


def test_table1_has_every_method_on_every_task(out: Path, tiny_spec: str) -> None:
    result = json.loads((out / "results" / "table1.json").read_bytes())
    assert [row["key"] for row in result["rows"]] == [
        "base", "lda", "lda-distilled", "single-task", "distilled-only", "model-soup", "factor-average", "lorahub-raw",
        "lorahub", "fusion", "mixture-sequential", "mixture-joint", "mixture-gated", "mixture-layer-sequential",
        "mixture-layer-joint", "fusion-reference", "mixture-sequential-reference",
        *(merger.key for merger in routed()),
    ]  # fmt: skip
    for row in result["rows"]:
        assert set(row["seeds"]) == {"0"}
        assert set(row["seeds"]["0"]) == {"breast", "lung"}
        for scores in row["seeds"]["0"].values():
            assert all(0 <= scores[part][measure] <= 1 for part in ("own", "union") for measure in ("acc", "auc"))
            # weighted probabilities are the exception: a softmax over more prompts weighs the plugins otherwise
            if row["key"] in ("base", "single-task", "fusion", "mixture-gated", "mixture-layer-joint"):
                assert scores["union"]["acc"] <= scores["own"]["acc"]
    facts = result["provenance"]
    assert facts["base_fingerprint"]
    assert facts["command"].startswith("medforge benchmark table1 --centre breast=tissue:breast")
    assert {task["split"] for task in facts["tasks"]} == {"procedural"}
    rows = list(csv.DictReader((out / "results" / "table1.csv").open()))
    assert {row["method"] for row in rows} == {row["key"] for row in result["rows"]}
    assert "MedForge-Fusion" in (out / "report.html").read_text()


def test_a_merge_is_what_a_forge_makes_of_the_same_branches(out: Path, tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, out)
    names = bench.settings.names
    for merger in (FUSION, GATED):
        forge = Forge.establish(tmp_path / merger.key, bench.base, merger.settings(0), policy=UNEXAMINED)
        main = MainBranch(forge, bench.base)
        for name in names:
            main.fold(forge.admit(assemble(bench, name, 0, "lora", "dm-dsa"), bench.base).number)
        head = main.head()
        assert head is not None
        assert Merge(merger, 0, (names,)).record(bench, names)["item"] == head.item
        item = main.checkout()
        forge.close()
        assert Merge(merger, 0, (names,)).scores(bench, names) == bench.score_item(item, names, 0)


def test_artefacts_serve_every_experiment_and_the_report_gets_its_page(out: Path, tiny_spec: str) -> None:
    trained = Train("lung", 0).place(bench_of(tiny_spec, out)) / "record.json"
    before = trained.stat().st_mtime_ns
    result = json.loads(run_here(*command("orders", tiny_spec, out, "--json")))
    assert trained.stat().st_mtime_ns == before
    assert result == json.loads((out / "results" / "orders.json").read_bytes())
    assert result["exhaustive"]
    assert [method["key"] for method in result["methods"]] == [
        "fusion", "mixture-sequential", "mixture-joint", "mixture-gated", *(merger.key for merger in routed()),
    ]  # fmt: skip
    table = json.loads((out / "results" / "table1.json").read_bytes())
    for method in result["methods"]:
        assert {tuple(r["order"]) for r in method["runs"]} == {("breast", "lung"), ("lung", "breast")}
        row = next(row for row in table["rows"] if row["key"] == method["key"])
        in_order = next(r for r in method["runs"] if r["order"] == ["breast", "lung"])
        assert [set(scores) for scores in in_order["rounds"]] == [{"breast"}, {"breast", "lung"}]
        assert in_order["rounds"][-1] == row["seeds"]["0"]
    page = (out / "report.html").read_text()
    assert "Order robustness" in page
    assert "Table 1" in page


def test_a_killed_benchmark_goes_on(tiny_spec: str, tmp_path: Path, out: Path) -> None:
    words = command("figure5", tiny_spec, tmp_path / "killed", "--json")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(tmp_path.glob("killed/artefacts/*/record.json")), process)
        process.send_signal(signal.SIGKILL)
    first = next(tmp_path.glob("killed/artefacts/*/record.json"))
    made = first.stat().st_mtime_ns
    result = json.loads(run_here(*words))
    assert first.stat().st_mtime_ns == made
    assert {point["task"] for point in result["points"]} == {"breast", "lung"}
    assert sum(point["distilled"] for point in result["points"]) == 2 * (2 + 3)
    datasets = [sorted(p.read_bytes() for p in place.glob("artefacts/*dm-dsa*/distilled.safetensors")) for place in
                (out, tmp_path / "killed")]  # fmt: skip
    assert datasets[0] == datasets[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seeds", "a,b"], "--seeds 'a,b' cannot be used; list different seeds, as in 0,1,2"),
        (["--seeds", "1,1"], "list different seeds"),
        (["--recipe-set", "train.nothing=1"], "train.nothing"),
        (["--centre", "lung=nowhere:x"], "unknown source 'nowhere'"),
        (["--recipe", "none"], "there is no recipe 'none'"),
        (
            ["--recipe-set", "distill.method=dm"],
            "cannot be used here, since every experiment sets it itself (table3 compares",
        ),
        (["--recipe-set", "train.plugin.kind=dora"], "table4 is for DoRA plugins"),
    ],
)
def test_mistakes_get_a_sentence_before_anything_is_computed(options: list[str], sentence: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from medforge.cli import build_app
    from medforge.errors import MedForgeError

    with pytest.raises(MedForgeError, match=None) as error:
        CliRunner().invoke(
            build_app(), ["benchmark", "table1", "--out", str(tmp_path / "out"), *options], catch_exceptions=False
        )
    assert sentence in str(error.value)
    assert not (tmp_path / "out").exists()
