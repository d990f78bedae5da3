import pytest

from medforge.simulation.benchmark.experiments import published_med_lego
from medforge.simulation.benchmark.experiments.med_lego_tables import Lego
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import Centre
from tests.simulation.benchmark.making import row


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("medmnist:data/pneumoniamnist.npz", "pneumoniamnist"),
        ("medmnist:/a/b/retinamnist_224.npz,prompts=words.txt", "retinamnist"),
        ("medmnist:bloodmnist,size=64", "bloodmnist"),
        ("medmnist:data/octmnist.npz", None),
        ("medmnist:data/mine.npz", None),
        ("folder:pneumoniamnist", None),
    ],
)
def test_the_papers_sets_are_known_by_their_file(source: str, name: str | None) -> None:
    assert published_med_lego.data_set(source) == name


def test_the_paper_has_seven_sets_and_seven_methods() -> None:
    assert {name: score.acc for name, score in published_med_lego.cross_domain("med-lego").items()} == {
        "bloodmnist": 0.814, "breastmnist": 0.872, "dermamnist": 0.739, "organamnist": 0.567, "pathmnist": 0.606,
        "pneumoniamnist": 0.849, "retinamnist": 0.593,
    }  # fmt: skip
    assert published_med_lego.cross_domain("task-arithmetic")["organamnist"].acc == 0.967
    assert all(score.auc is None for score in published_med_lego.cross_domain("ties").values())
    assert published_med_lego.cross_domain("fusion") == {}


def beside(**sources: str) -> Row:
    settings = BenchmarkSettings(centres=tuple(Centre(name=name, source=source) for name, source in sources.items()))
    return Lego().beside(row("med-lego", "Med-LEGO", "training-free", {0: dict.fromkeys(sources, 0.5)}), settings)


def test_the_papers_average_stands_only_where_every_task_is_one_of_its_sets() -> None:
    both = beside(blood="medmnist:bloodmnist.npz", chest="medmnist:pneumoniamnist.npz")
    assert {name: score.acc for name, score in both.paper.items()} == {"blood": 0.814, "chest": 0.849}
    assert both.paper_mean is not None
    assert both.paper_mean.acc == pytest.approx((0.814 + 0.849) / 2)
    assert both.paper_mean.auc is None
    one = beside(lung="lc25000-lung:data", chest="medmnist:pneumoniamnist.npz")
    assert set(one.paper) == {"chest"}
    assert one.paper_mean is None
