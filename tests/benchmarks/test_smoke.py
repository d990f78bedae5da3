"""Every benchmark runs at its smallest size, and what it compares agrees."""

import json
import os
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks
from benchmarks import (
    arrival_cost,
    coefficient_search,
    distillation,
    doors,
    egress_gate,
    exports,
    fuzz,
    honest,
    inference,
    inspection,
    med_lego,
    misbehaving,
    mixture_modes,
    origin_cost,
    prediction,
    regmean,
    router_settings,
    scale,
    statistics_leak,
    submit,
    threads,
    training,
    uploads,
)
from benchmarks.doors.elsewhere import nvflare
from benchmarks.scale import threads as scale_threads
from benchmarks.scale.results import Results
from medforge.base_module import BaseModule
from medforge.client.begin import begin_work
from medforge.client.workspace import Workspace
from tests.making import make_branch

SMALL = "train=12,validation=8,test=12"
QUICK = (
    "train.max_steps=3", "train.batch=8", "train.plugin.rank=2", "distill.steps=3", "distill.ipc=2",
    "distill.real_batch=4", "distill.candidates=1", "distill.score_steps=2", "distill.extractor_rank=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a committed branch."""
    given = {"source": f"tissue:lung,{SMALL}", "base": tiny_spec, "task": "lung"}
    work = begin_work(tmp_path_factory.mktemp("centre") / "lung", given, "tiny", QUICK, device="cpu")
    work.train()
    work.distill()
    work.commit()
    return work.workspace


def test_no_benchmark_is_left_out() -> None:
    helpers = {"attackers", "inputs", "origin_by_walking", "small_centres", "stored_neighbours"}
    named = {name for _, name, _ in pkgutil.iter_modules(benchmarks.__path__)} - helpers
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert {name for name in named if f"{name}.main(" not in text} == set()


def test_doors(tiny_spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--out", str(tmp_path), "--base", tiny_spec, "--recipe", "tiny", "--seeds", "0", "--doors", "grpc,fedavg"]
    for option, values in (
        ("--centre", [f"{organ}=tissue:{organ},{SMALL}" for organ in ("lung", "colon")]),
        ("--recipe-set", ["train.epochs=2", *QUICK[1:]]),
        # what two epochs of training give would not pass the examination
        ("--policy", ["admission.behaviour=false"]),
    ):
        words += [word for value in values for word in (option, value)]
    assert doors.main([*words, "--json", str(tmp_path / "doors.json")]) == 0
    own, averaged = json.loads((tmp_path / "doors.json").read_text())["rows"]
    assert own["order"] == ["lung", "colon"]
    assert averaged["rounds"] == 2
    assert averaged["bytes_down"] == 2 * averaged["bytes_up"] > 0
    assert "FedAvg by Flower's strategy, 2 rounds" in capsys.readouterr().out


@pytest.mark.skipif(
    "MEDFORGE_NVFLARE" not in os.environ,
    reason="NVFlare is installed elsewhere: set MEDFORGE_NVFLARE to the Python of its environment",
)
def test_doors_nvflare(tiny_base: BaseModule, tmp_path: Path) -> None:
    make_branch(tiny_base).plugin.save(tmp_path / "plugin")
    found = nvflare(Path(os.environ["MEDFORGE_NVFLARE"]), tmp_path / "plugin", tmp_path / "out", sites=2, rounds=1)
    assert found["unchanged"]
    # once down and once up for each site
    assert found["wire"] > 2 * 2 * found["payload"]


def test_coefficient_search(tiny_spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert coefficient_search.main(["--base", tiny_spec, "--plugins", "2", "--ipc", "1", "--rank", "2"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_inspection(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspection.main(["--pictures", "12", "--versions", "3", "--side", "96"]) == 0
    assert "known pairs are in one group" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--decode",)])
def test_prediction(tiny_spec: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert prediction.main(["--base", tiny_spec, "--per-class", "2", "--repeats", "1", *more]) == 0
    assert "routed, 3 tasks" in capsys.readouterr().out


def test_exports(tiny_spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    # the smallest one network and the smallest adapter; every format's own tests are in tests/model/export
    chosen = ["open_clip", "safetensors"]
    assert exports.main(["--base", tiny_spec, *(word for name in chosen for word in ("--to", name))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == chosen
    assert "refused" not in "".join(lines)


def test_regmean(tiny_spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--base", tiny_spec, "--plugins", "2", "--ipc", "6", "--rank", "2", "--steps", "1"]
    assert regmean.main([*words, "--json", str(tmp_path / "out.json")]) == 0
    assert "ratio" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["largest difference, share of the norm"] < 0.01


def test_distillation(tiny_spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    smallest = ["--plain-batch", "4", "--real-batch", "2", "--check-batch", "2", "--plain-steps", "1", "--steps", "1"]
    smallest += ["--draws", "2", "--ipc", "1", "--per-class", "6", "--dtype", "fp32"]
    assert distillation.main(["--base", tiny_spec, *smallest]) == 0
    assert "×" in capsys.readouterr().out


def test_threads(tiny_spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert threads.main(["--base", tiny_spec, "--images", "20", "--repeats", "1"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_training(tiny_spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["--base", tiny_spec, "--steps", "2", "--batch", "4", "--per-class", "6"]) == 0
    assert "×" in capsys.readouterr().out


def test_med_lego(capsys: pytest.CaptureFixture[str]) -> None:
    smallest = ["--ranks", "2", "--plugins", "2", "--arrivals", "2", "--sites", "2", "--side", "32", "--repeats", "1"]
    assert med_lego.main(smallest) == 0
    assert "×" in capsys.readouterr().out


def test_uploads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smallest = ["--uploads", "2", "--megabytes", "1", "--plain-uploads", "1", "--submits", "1"]
    # whether memory is flat cannot be seen in two small blobs; whether every digest is right can
    uploads.main([*smallest, "--directory", str(tmp_path)])
    assert "every digest right: True" in capsys.readouterr().out


def test_scale(tiny_spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # a base with random weights learns nothing that an examination would let pass
    words = ["--base", tiny_spec, "--policy", "admission.behaviour=false", "--marks", "2"]
    assert scale_threads.main([*words, "--out", str(tmp_path)]) == 0
    runs = {threads: Results.load(tmp_path / str(threads) / "results.json") for threads in (1, 2)}
    for run in runs.values():
        assert [(mark.arrival, mark.held) for mark in run.marks] == [(2, 0)]
        assert set(run.marks[0].seconds) == {"serve", "log", "log over the wire", "status", "fsck --quick"}
        assert sum(sample.arrivals for sample in run.samples) == 2
    assert "<svg" in (tmp_path / "1" / "scale.svg").read_text()
    # what is measured is not measured again
    assert scale.main([*words, "--out", str(tmp_path / "1")]) == 0
    assert scale.look([*words[:2], "--out", str(tmp_path / "ledger"), "--marks", "3"]) == 0
    assert "fsck --quick" in capsys.readouterr().out
    runs[2].marks[:] = [replace(runs[2].marks[0], head="another")]
    assert not scale_threads.alike(scale_threads.heads(runs), [2], [1, 2])
    assert not scale_threads.alike(scale_threads.heads({1: runs[1]}), [2], [1, 2])


def test_submit(tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "submit.json"
    words = ["--base", tiny_spec, "--clients", "2", "--branches", "4", "--bytes", "20000", "--large", "100000"]
    assert submit.main([*words, "--folds", "off", "--directory", str(tmp_path), "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [one["forge"]["branches"] for one in found["rounds"]] == [4]
    assert found["rounds"][0]["share"] > 0
    assert found["memory"]["accepted, folding off"] >= 0


def test_arrival_cost(tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "costs.json"
    words = ["--base", tiny_spec, "--marks", "2", "4", "--tasks", "2", "--per-class", "2", "--window", "2"]
    # of four arrivals the costs say nothing, and the sameness of the merged models all
    arrival_cost.main([*words, "--json", str(out)])
    found = json.loads(out.read_text())
    assert found["same item as from nothing"] is True
    assert {door: list(of_door) for door, of_door in found["ratios"].items()} == {
        "unexamined": ["2", "4"],
        "examined": ["2", "4"],
    }


def test_origin_cost(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert origin_cost.main(["--arrivals", "60", "--images", "3", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())
    # the last arrivals are a copy of weights and one of images
    assert (row["found alike"], row["the same"]) == (2, True)


def test_misbehaving(tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "ratios.json"
    words = ["--base", tiny_spec, "--ways", "names", "reviews", "--threads", "2", "--submits", "1"]
    assert misbehaving.main([*words, "--directory", str(tmp_path), "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert [row["way"] for row in rows] == ["names", "reviews"]
    assert all(row["ratio"] > 0 and row["calls"]["rounds"] for row in rows)


def test_router_settings(tiny_spec: str, workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    tasks = [word for name in ("lung", "colon") for word in ("--task", f"{name}=tissue:{name},{SMALL}")]
    words = [*tasks, "--plugin", f"lung={workspace.plugin}", "--base", tiny_spec, "--json", str(out)]
    assert router_settings.main(words) == 0
    found = json.loads(out.read_text())
    assert [len(rows) for rows in found.values()] == [5, 6, 2]
    assert all(0 <= row["router"] <= 1 for row in found["shrinkage"].values())


def test_mixture_modes(workspace: Workspace, tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "modes.json"
    words = ["--branch", str(workspace.branch), "--task", f"lung=tissue:lung,{SMALL}", "--limit", "4"]
    assert mixture_modes.main([*words, "--base", tiny_spec, "--device", "cpu", "--json", str(out)]) == 0
    assert all(
        0 <= share <= 1 for scores in json.loads(out.read_text())["accuracy"].values() for share in scores.values()
    )


def test_egress_gate(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "gate.json"
    egress_gate.main(["--workspace", str(workspace.path), "--json", str(out)])
    assert json.loads(out.read_text())


def test_statistics_leak(tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "leak.json"
    words = ["--source", "tissue:lung,train=120,validation=30,test=30", "--seeds", "0", "--images", "60"]
    statistics_leak.main([*words, "--base", tiny_spec, "--json", str(out)])
    row = json.loads(out.read_text())[0]
    assert row["images"] == 60
    assert row["sent_auc"] is None or row["sent_auc"] < row["exact_auc"]


def test_honest(tiny_spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, enough = tmp_path / "verdicts.json", "train=90,validation=18,test=18"
    words = [word for name in ("lung", "colon") for word in ("--centre", f"{name}=tissue:{name},{enough}")]
    words += [word for change in QUICK for word in ("--recipe-set", change)]
    words += ["--base", tiny_spec, "--recipe", "tiny", "--seeds", "0", "--dtype", "fp32", "--out", str(tmp_path)]
    assert honest.main([*words, "--json", str(out)]) == 0
    verdicts = json.loads(out.read_text())
    sent = {(one["way"], one["centre"], one["main"]) for one in verdicts if one["attack"] == honest.HONEST}
    assert len(sent) == 2 * honest.SITES * len(honest.MAINS)
    assert {one["attack"] for one in verdicts} == set(honest.ATTACKS)
    assert "honest, all" in capsys.readouterr().out
    # what is there is not made again, and a policy is a forge's
    assert honest.main([*words, "--made", "--policy", "admission.behaviour=maybe"]) == 2


def test_fuzz_replays_an_input(tmp_path: Path) -> None:
    """The search itself needs the extra `fuzz`; what it finds is looked at without."""
    sample = tmp_path / "input"
    sample.write_bytes(b"\x00nothing of this kind")
    assert fuzz.main(["--target", "manifest", "--input", str(sample)]) == 0


def test_inference(tiny_spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--base", tiny_spec, "--tasks", "2", "70", "--repeats", "1", "--engine", "torch", "onnx"]
    assert inference.main([*words, "--json", str(tmp_path / "out.json")]) == 0
    rows = json.loads((tmp_path / "out.json").read_text())
    assert len(rows) == 2 * 2 * 2 * 2
    assert max(row["experts"] for row in rows if row["tasks"] == 70) > 32
    assert "onnx             70 tasks, batch 64" in capsys.readouterr().out
