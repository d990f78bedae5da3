import io
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from medforge.look.heat_map import paint_cells
from medforge.simulation.benchmark.presentation.orders.charts import swarm
from medforge.simulation.benchmark.presentation.orders.heat_maps import order_label
from medforge.simulation.benchmark.presentation.orders.overview import readme_picture
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.results.result import Result
from medforge.simulation.benchmark.results.robustness import best_first, order_means
from tests.simulation.benchmark.making import domain_table, figure, orders_result, table, transfer

LONG = ("breast-cancer-histology-40x-a1", "breast-cancer-histology-40x-b2", "chest-radiographs-pneumonia-ii")
TASKS = ("brain", "breast", "chest", "colon", "lung")


def orders(names: Sequence[str], count: int | None = None) -> list[tuple[str, ...]]:
    return list(itertools.permutations(names))[:count]


def drawings(result: Result) -> tuple[Drawing, ...]:
    return renderer_of(result).drawings()


def pictures(result: Result) -> dict[str, bytes]:
    return renderer_of(result).pictures()


def texts(svg: str) -> str:
    """Return an SVG document's text, so that it is also known to be well-formed."""
    return "\n".join(
        "".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("text")
    )


CASES: dict[str, Result] = {
    "table": table(),
    "table of one seed": table((7,)),
    "one order": orders_result([("lung", "colon")]),
    "one order of one task, one seed": orders_result([("lung",)], (0,)),
    "24 orders": orders_result(orders(TASKS[:4])),
    "120 orders": orders_result(orders(TASKS), (0,)),
    "long names": orders_result(orders(LONG)),
    "table without a union": domain_table(),
    "figure": figure(),
    "transfer": transfer(),
    "transfer, one seed": transfer((3,)),
    "figure without distilled images": figure(distilled=False),
}


@pytest.mark.parametrize("name", CASES)
def test_every_chart_is_drawn_with_words_for_it(name: str) -> None:
    shown = drawings(CASES[name])
    assert shown
    assert len({drawing.name for drawing in shown}) == len(shown)
    for drawing in shown:
        assert texts(drawing.svg)
        assert len(drawing.alt) > 20


def test_the_spread_names_every_method_and_its_ends() -> None:
    result = orders_result(orders(TASKS[:3]))
    spread = next(drawing for drawing in drawings(result) if drawing.name == "orders-spread")
    for text in ("MedForge-Fusion", "Mixture, <gated>", ".583 – .688", ".812", "single-task plugins .875"):
        assert text in texts(spread.svg)
    assert "MedForge-Fusion from .583 to .688, mean .635" in spread.alt


def test_one_task_alone_has_no_forgetting_to_draw() -> None:
    assert not any("forgetting" in drawing.name for drawing in drawings(orders_result([("lung",)])))


def test_a_heat_map_writes_numbers_for_few_orders_only() -> None:
    few = next(d for d in drawings(CASES["24 orders"]) if d.name == "orders-map-mixture-gated")
    many = next(d for d in drawings(CASES["120 orders"]) if d.name == "orders-map-mixture-gated")
    assert texts(few.svg).count("0.81") == 24 * 4
    assert "0.81" not in texts(many.svg)
    assert "colon → chest → breast → brain" in texts(few.svg)
    assert "lung → colon → chest → breast → brain" in texts(many.svg)


def test_a_heat_map_puts_the_best_order_first_and_keeps_equals_as_they_were_run() -> None:
    fusion, gated = orders_result(orders(TASKS[:3])).methods
    assert best_first(fusion) == orders(TASKS[:3])
    assert best_first(gated) == orders(TASKS[:3])
    assert list(order_means(fusion)) == orders(TASKS[:3])[::-1]


def test_long_orders_are_shortened_and_stay_different() -> None:
    labels = {order_label(order, 34) for order in orders(LONG)}
    assert len(labels) == 6
    assert all(len(label) <= 34 for label in labels)
    assert order_label(("lung", "colon"), 34) == "lung → colon"


def test_a_swarm_moves_near_points_apart_and_no_others() -> None:
    assert swarm([0.1, 0.2, 0.3], near=0.05, step=0.1, most=0.4) == [0, 0, 0]
    assert swarm([0.1, 0.1, 0.1], near=0.05, step=0.1, most=0.4) == [0, 0.1, -0.1]
    crowded = swarm([0.1] * 20, near=0.05, step=0.1, most=0.2)
    assert crowded[:5] == [0, 0.1, -0.1, 0.2, -0.2]
    assert set(crowded[5:]) == {0}


@pytest.mark.parametrize("name", ["one order", "24 orders", "120 orders", "long names"])
def test_the_readme_picture_is_a_sharp_png_on_white(name: str) -> None:
    result = CASES[name]
    assert result.kind == "orders"
    image = Image.open(io.BytesIO(readme_picture(result)))
    assert image.format == "PNG"
    assert image.width == 2300
    pixels = np.asarray(image.convert("RGB"))
    assert (pixels[:4] == 255).all()
    assert (pixels == 255).all(axis=2).mean() > 0.3


def test_the_same_result_gives_the_same_bytes() -> None:
    first, second = pictures(CASES["long names"]), pictures(CASES["long names"])
    assert first == second
    charts = ("spread", "spread-union", "forgetting", "map-fusion", "map-mixture-gated")
    assert set(first) == {"orders.png", *(f"orders-{name}.{kind}" for name in charts for kind in ("svg", "pdf"))}
    assert all(data.startswith(b"%PDF") == name.endswith(".pdf") for name, data in first.items())


def test_the_curves_name_every_task_and_start() -> None:
    (drawing,) = drawings(transfer())
    for text in ("lung", "colon", "fresh SVD-LoRA", "Med-LEGO <of> the others", "fresh, of its ranks"):
        assert text in texts(drawing.svg)
    # over two seeds .0625 apart
    assert "lung: fresh SVD-LoRA .281 to .781, Med-LEGO <of> the others .531 to .781" in drawing.alt
    assert set(pictures(transfer())) == {
        "lego-transfer-curves.svg", "lego-transfer-curves.pdf", "lego-transfer.png",
    }  # fmt: skip
    assert pictures(transfer()) == pictures(transfer())


def test_bars_without_a_union_show_the_own_prompts_alone() -> None:
    (drawing,) = drawings(domain_table())
    assert "among the prompts of all tasks" not in texts(drawing.svg)
    assert "union" not in drawing.alt + drawing.caption


def test_cells_hold_their_numbers_only_when_asked_to() -> None:
    from matplotlib.figure import Figure

    table = np.array([[0.25, np.nan], [0.5, 0.75]])
    for written, expected in ((True, ["0.25", "–", "0.50", "0.75"]), (False, [])):
        axes = Figure().add_subplot()
        paint_cells(axes, table, 0.0, 1.0, written=written)
        assert [text.get_text() for text in axes.texts] == expected
