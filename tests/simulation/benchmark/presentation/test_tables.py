import io
import itertools

import pytest
from rich.console import Console

from medforge.simulation.benchmark.presentation.numbers_in_words import against, number, points, short_names
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.presentation.tables import draw, widest
from medforge.simulation.benchmark.results.plane import planes
from medforge.simulation.benchmark.results.result import Result
from medforge.simulation.benchmark.results.rows import PaperScore, Variant
from tests.simulation.benchmark.making import domain_table, figure, orders_result, provenance, row, table, transfer

ORDERS = list(itertools.permutations(("brain", "colon", "lung")))


def sheets(result: Result) -> tuple[Sheet, ...]:
    return renderer_of(result).sheets()


def line(sheet: Sheet, label: str) -> dict[str, str]:
    """Find a line by its first cell, and key its cells by the heads."""
    found = next(cells for section in sheet.sections for cells in section.lines if cells[0] == label)
    return {
        f"{place} {column.head}": cell for place, (column, cell) in enumerate(zip(sheet.columns, found, strict=True))
    }


def printed(result: Result, width: int = 140) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    for drawn in draw(result):
        console.print(drawn)
    return console.export_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9124, ".912"),
        (1.0, "1.000"),
        (0.0, ".000"),
        (-0.0314, "−.031"),
        (-0.0001, ".000"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_are_written_as_in_the_paper(value: float | None, text: str) -> None:
    assert number(value) == text


def test_differences_are_written_as_points() -> None:
    assert points(-0.183) == "18.3 points"
    assert points(0.01) == "1.0 point"
    assert against(-0.0093) == "0.9 points below"
    assert against(0.0093) == "0.9 points above"
    assert against(0.0004) == "level with"


@pytest.mark.parametrize(
    "names",
    [
        ("lung", "colon"),
        ("breast-cancer-histology-40x-a1", "breast-cancer-histology-40x-b2", "chest"),
        ("aaaaaaaaaaaaaaaaaaaa-1-aaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa-2-aaaaaaaaaaaa"),
    ],
)
@pytest.mark.parametrize("width", [2, 4, 6, 8, 11])
def test_short_names_stay_apart(names: tuple[str, ...], width: int) -> None:
    short = short_names(names, width)
    assert list(short) == list(names)
    assert len(set(short.values())) == len(names)
    assert all(len(text) <= max(4, width) for text in short.values())


def test_a_tables_cells_are_means_and_deviations_over_seeds() -> None:
    own, union = sheets(table())
    # two seeds .0625 apart: mean .03125 above the first, deviation .0625 over the root of two
    assert line(own, "MedForge-Fusion") == {
        "0 method": "MedForge-Fusion",
        "1 lung\nACC, AUC": ".531 ± .044\n.562 ± .044",
        "2 paper": ".959\n.998",
        "3 colon\nACC, AUC": ".281 ± .044\n.312 ± .044",
        "4 mean\nACC, AUC": ".406 ± .044\n.438 ± .044",
        "5 paper": ".909\n.941",
        "6 union\nACC": ".203 ± .022",
    }
    assert line(union, "MedForge-Fusion")["1 lung\nunion ACC"] == ".266 ± .022"
    assert line(union, "MedForge-Fusion")["4 own − union"] == ".203"


def test_few_images_have_fewer_digits() -> None:
    result = table()
    made = result.provenance
    lung, colon = made.tasks
    few = (lung.model_copy(update={"test": 9}), colon.model_copy(update={"test": 240}))
    own, union = sheets(result.model_copy(update={"provenance": made.model_copy(update={"tasks": few})}))
    # of two seeds: 18 answers of lung, 480 of colon, and a mean that 2 times 18 answers say
    found = line(own, "MedForge-Fusion")
    assert (found["1 lung\nACC, AUC"], found["3 colon\nACC, AUC"]) == (".5 ± .0\n.6 ± .0", ".28 ± .04\n.31 ± .04")
    assert (found["4 mean\nACC, AUC"], found["6 union\nACC"]) == (".41 ± .04\n.44 ± .04", ".20 ± .02")
    assert line(union, "MedForge-Fusion")["4 own − union"] == ".20"


def test_one_seed_has_no_deviation() -> None:
    assert line(sheets(table((3,)))[0], "MedForge-Fusion")["1 lung\nACC, AUC"] == ".500\n.531"


def test_without_the_papers_numbers_there_is_no_column_for_them() -> None:
    result = table()
    rows = tuple(row.model_copy(update={"paper": {}, "paper_mean": None}) for row in result.rows)
    assert "paper" not in {column.head for column in sheets(result.model_copy(update={"rows": rows}))[0].columns}


def test_rows_stand_under_their_groups() -> None:
    sections = [(s.name, [cells[0] for cells in s.lines]) for s in sheets(table())[0].sections]
    assert sections == [
        ("no training", ["base module alone"]),
        ("upper bound", ["LoRA supervised"]),
        ("ours and the paper's", ["MedForge-Fusion", "Mixture, <gated>"]),
    ]


def test_variants_of_one_method_stand_under_their_variant() -> None:
    result = table()
    rows = [
        row.model_copy(
            update={
                "key": f"{key}/{row.key}",
                "label": f"{name}: {row.label}",
                "variant": Variant(key=key, name=name),
            }
        )
        for key, name in (("dm", "DM"), ("dc-dsa", "DC-DSA"))
        for row in result.rows[2:]
    ]
    found = sheets(result.model_copy(update={"rows": tuple(rows)}))[0].sections
    assert [(section.name, len(section.lines)) for section in found] == [("DM", 2), ("DC-DSA", 2)]


def test_the_orders_table_says_mean_spread_worst_order_and_forgetting() -> None:
    own, union, tasks = sheets(orders_result(ORDERS))
    # each order ends with .75, .6875, .625 less .125 · place / 6: means from .6875 down to .5833
    assert line(own, "LoRA supervised")["1 mean"] == ".875"
    fusion = line(own, "MedForge-Fusion")
    assert fusion["1 mean"] == number(0.6875 - 0.125 * 2.5 / 6)
    assert fusion["2 std"] == number(0.125 / 6 * 3.5**0.5)
    assert (fusion["3 lowest"], fusion["4 highest"]) == (".583", ".688")
    assert fusion["5 worst order"] == "lung → colon → brain"
    # in the end a first task has lost .125, a second .0625; each task was both equally often
    assert fusion["6 forgotten"] == ".094"
    assert fusion["7 paper"] == ".790–.806"
    assert line(union, "MedForge-Fusion")["3 lowest"] == number(0.6875 / 2 - 0.125 * 5 / 12)
    assert line(tasks, "MedForge-Fusion")["1 brain\nmean ± std"].endswith("lost .094")


def test_where_the_order_makes_no_difference_no_order_is_worst() -> None:
    gated = line(sheets(orders_result(ORDERS))[0], "Mixture, <gated>")
    assert [gated[f"{place} {head}"] for place, head in ((2, "std"), (5, "worst order"), (6, "forgotten"))] == [
        ".000", "–", ".000",
    ]  # fmt: skip


def test_a_figures_table_counts_points() -> None:
    (sheet,) = sheets(figure())
    assert sheet.sections[0].name == "lung"
    assert sheet.sections[0].lines == (("a", "2", "1", "100 %"), ("b", "3", "2", "50 %"))


def test_without_a_union_there_is_no_table_and_no_column_for_it() -> None:
    (own,) = sheets(domain_table())
    assert not any("union" in column.head for column in own.columns)
    assert line(own, "MedForge-Fusion")["3 mean\nACC, AUC"] == ".406 ± .044\n.438 ± .044"


def test_a_paper_without_areas_gives_its_accuracy_alone() -> None:
    fusion = table().rows[2].model_copy(update={"paper": {"lung": PaperScore(acc=0.849)}})
    assert line(sheets(table().model_copy(update={"rows": (fusion,)}))[0], "MedForge-Fusion")["2 paper"] == ".849"


def test_the_transfer_table_says_how_fast_each_start_learns() -> None:
    (sheet,) = sheets(transfer())
    assert [section.name for section in sheet.sections] == ["lung", "colon", "mean over tasks"]
    fresh, merged, shape = sheet.sections[2].lines
    assert fresh == (
        "fresh SVD-LoRA", ".281 ± .044", ".531 ± .044", ".781 ± .044", ".781 ± .044", "2.0",
        ".781 ± .044\n.938 ± .000",
    )  # fmt: skip
    assert merged[1:6] == (".531 ± .044", ".781 ± .044", ".781 ± .044", ".781 ± .044", "1.0")
    # it never comes to 95 % of .75
    assert shape[5] == "–"


def test_without_distilled_images_there_is_no_share() -> None:
    (plane,) = planes(figure(distilled=False).points)
    assert plane.kinship() == {"a": None, "b": None}
    assert plane.share is None
    assert planes(figure().points)[0].share == pytest.approx(2 / 3)


@pytest.mark.parametrize("width", [120, 140, 160])
@pytest.mark.parametrize(
    "result",
    [table(), domain_table(), orders_result(ORDERS), figure(), transfer()],
    ids=["table", "no union", "orders", "figure", "transfer"],
)
def test_a_terminal_shows_every_number_whole(result: Result, width: int) -> None:
    text = printed(result, width)
    assert "…" not in text
    assert all(len(row) <= width for row in text.splitlines())
    for sheet in sheets(result):
        numeric = [place for place, column in enumerate(sheet.columns) if not column.words]
        for section in sheet.sections:
            for cells in section.lines:
                assert all(part in text for place in numeric for part in cells[place].split("\n"))


def test_a_file_is_as_wide_as_the_tasks_need() -> None:
    names = tuple(f"task-{place}" for place in range(9))
    rows = tuple(
        row(key, f"the method {key}", "training-free", {seed: dict.fromkeys(names, 0.5) for seed in (0, 1)})
        for key in ("ties", "pem")
    )
    result = table().model_copy(update={"rows": rows, "provenance": provenance(names)})
    assert "…" in printed(result, 140)
    text = printed(result, widest(draw(result)))
    assert "…" not in text
    assert all(name in text for name in names)


def test_labels_are_never_read_as_markup() -> None:
    result = table()
    odd = result.rows[0].model_copy(update={"label": "a [bold]odd[/bold] name"})
    assert "[bold]odd[/bold]" in printed(result.model_copy(update={"rows": (odd,)}))
