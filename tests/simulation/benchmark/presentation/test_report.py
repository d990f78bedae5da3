import html
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.presentation.report import write_report
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.result import OrdersResult, Result, TableResult
from medforge.simulation.benchmark.results.rows import Variant
from tests.simulation.benchmark.making import domain_table, figure, orders_result, table, transfer

ORDERS = list(itertools.permutations(("brain", "colon", "lung")))
RESULTS: tuple[Result, ...] = (table(), orders_result(ORDERS), figure(), domain_table(), transfer())


def sheets(result: Result) -> tuple[Sheet, ...]:
    return renderer_of(result).sheets()


def verdict(result: Result) -> str:
    return renderer_of(result).verdict()


def findings(result: Result) -> tuple[str, ...]:
    return renderer_of(result).findings()


class Page(HTMLParser):
    """Gather what a page loads, shows and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.alts: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.loads += [found[key] for key in ("src", "srcset", "data") if key in found]
        if tag == "img":
            self.alts.append(found.get("alt", ""))
        if tag == "a":
            self.links.append(found["href"])
        if "id" in found:
            self.ids.append(found["id"])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(tmp_path_factory.mktemp("report"), RESULTS)
    assert path.name == "report.html"
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_it_loads_nothing_from_elsewhere(source: str, page: Page) -> None:
    assert page.loads
    assert all(address.startswith("data:image/") for address in page.loads)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"url\(|@import", source)
    assert all(link.startswith("#") for link in page.links)


def test_every_picture_has_words_with_numbers(page: Page) -> None:
    assert len(page.alts) == 1 + (3 + 2) + 1 + 1 + 1
    assert all(re.search(r"\.\d{3}|\d+ real", alt) for alt in page.alts)


def test_the_navigation_reaches_every_experiment(page: Page) -> None:
    assert {f"#{result.experiment}" for result in RESULTS} <= set(page.links)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_cell_of_every_table_is_on_the_page(page: Page) -> None:
    for result in RESULTS:
        for sheet in sheets(result):
            assert sheet.title in page.text
            for section in sheet.sections:
                assert section.name in page.text
                for cells in section.lines:
                    assert all(part in page.text for cell in cells for part in cell.split("\n"))


def test_labels_and_warnings_are_escaped(source: str) -> None:
    assert "Mixture, &lt;gated&gt;" in source
    assert "<gated>" not in source
    assert "numbers of &lt;drawn&gt; images" in source


def test_it_says_how_the_images_were_split_and_how_to_rebuild_it(page: Page) -> None:
    assert (
        "lung split by source: images of one source never lie on both sides; colon split at random by image"
        in page.text
    )
    for text in ("medforge benchmark table1 --out results", "f" * 64, "b" * 64, "2.9.0", "train.epochs=2", "2 min"):
        assert text in page.text
    assert "the model must name the organ and the class at once" in page.text


def test_verdict_and_findings_are_on_the_page(page: Page) -> None:
    for result in RESULTS:
        assert verdict(result) in page.text
        assert all(finding in page.text for finding in findings(result))


def test_an_empty_report_is_still_a_page(tmp_path: Path) -> None:
    assert "</html>" in write_report(tmp_path, []).read_text("utf-8")


def test_the_tables_verdict_names_the_method_that_comes_closest() -> None:
    # own plugins .84375, gated .8125, fusion .40625
    text = verdict(table())
    assert "Of 2 ways to merge, “Mixture, <gated>” comes closest" in text
    assert ".812 ± .044 against .844 ± .044, 3.1 points below them" in text
    assert "1 of them loses more than 10 points" in text
    assert findings(table())[1].startswith("MedForge-Fusion: .406 ± .044, 43.8 points below the single-task plugins")
    assert "weakest task colon, .281, 50.0 points below its own plugin" in findings(table())[1]


def keep(result: TableResult, *keys: str) -> TableResult:
    return result.model_copy(update={"rows": tuple(row for row in result.rows if row.key in keys)})


def test_the_tables_verdict_is_honest_when_every_method_loses_much() -> None:
    text = verdict(keep(table(), "single-task", "fusion"))
    assert "every way to merge loses more than 10 points" in text


def test_the_tables_verdict_does_without_an_upper_bound_or_a_merge() -> None:
    assert "“MedForge-Fusion” has the highest mean accuracy" in verdict(keep(table(), "fusion"))
    assert findings(keep(table(), "fusion")) == ()
    assert verdict(keep(table(), "base")) == "No merge method was run."


def test_the_verdict_names_the_best_that_needs_no_distilled_data() -> None:
    base, bound, fusion, gated = table().rows
    free = fusion.model_copy(update={"key": "ties", "label": "TIES", "group": "training-free"})
    text = verdict(table().model_copy(update={"rows": (base, bound, free, gated)}))
    assert "“Mixture, <gated>” comes closest" in text
    assert "Of those that need no distilled data, “TIES” does best, with .406 ± .044." in text
    # the sentence before named another
    assert "class at once, “Mixture, <gated>” does best" in text


def test_a_best_that_needs_no_distilled_data_is_set_against_those_that_do() -> None:
    base, bound, fusion, gated = table().rows
    free = gated.model_copy(update={"key": "med-lego", "label": "Med-LEGO", "group": "training-free"})
    text = verdict(table().model_copy(update={"rows": (base, bound, fusion, free)}))
    assert "“Med-LEGO” comes closest" in text
    assert "It needs no distilled data; of those that do, “MedForge-Fusion” does best, with .406 ± .044." in text


def test_without_a_union_the_verdict_ranks_by_area_too() -> None:
    text = verdict(domain_table())
    assert "Of 1 ways to merge, “MedForge-Fusion” comes closest" in text
    assert "By mean AUC, “MedForge-Fusion” does best, with .438 ± .044; the single-task plugins reach .875 ±" in text
    assert "at once" not in text


def test_the_transfer_verdict_compares_early_and_late() -> None:
    text = verdict(transfer())
    assert ".781 ± .044 against .531 ± .044 from a fresh one, 25.0 points above it" in text
    assert "a mean over 2 tasks (2 of 2 ahead); a fresh plugin of the merge's ranks has .531 ± .044" in text
    assert "on the test split: .781 ± .044 against .781 ± .044, level with it; of the merge's ranks, .531" in text
    lung, colon = findings(transfer())
    assert "lung, left out. fresh SVD-LoRA: .281 ± .044 before training, 2.0 epochs to 95 %" in lung
    assert colon.startswith("colon, left out.")


def test_the_verdict_over_variants_ranks_them() -> None:
    _, _, fusion, gated = table().rows
    variants = (
        fusion.model_copy(update={"key": "dm/fusion", "label": "DM: Fusion", "variant": Variant(key="dm", name="DM")}),
        gated.model_copy(
            update={
                "key": "dc-dsa/fusion",
                "label": "DC-DSA: Fusion",
                "variant": Variant(key="dc-dsa", name="DC-DSA"),
            }
        ),
    )
    text = verdict(table().model_copy(update={"rows": variants}))
    assert text.startswith("Merged models do best with DC-DSA: mean accuracy .812 over methods; DM .406.")


def test_the_orders_verdict_names_the_worst_order_and_the_distance() -> None:
    text = verdict(orders_result(ORDERS))
    assert "For “Mixture, <gated>” the order of arrival makes no difference" in text
    assert "between .583 and .688, 10.4 points apart; worst is lung → colon → brain" in text
    assert "Highest on average over orders is “Mixture, <gated>” with .812, 6.2 points below" in text
    fusion, gated = findings(orders_result(ORDERS))
    assert "after its own arrival a task loses 9.4 points on average" in fusion
    assert "the same after all 6 orders; tasks lose nothing after their own arrival" in gated


def test_the_orders_verdict_says_when_one_order_says_nothing() -> None:
    result: OrdersResult = orders_result([("a", "b")])
    assert verdict(result).startswith("Only one order was run")
    assert "in the one order that was run" in findings(result)[0]


def test_sampled_orders_are_called_sampled() -> None:
    result = orders_result(ORDERS[:4]).model_copy(update={"exhaustive": False})
    assert "4 of the 6 orders" in sheets(result)[0].title


def test_the_figures_verdict_gives_the_share_of_close_distilled_images() -> None:
    assert verdict(figure()).endswith("of their own class: lung 67 %.")
    assert verdict(figure(distilled=False)) == "There are no distilled images beside real ones to compare."


def test_entities_are_not_escaped_twice(source: str) -> None:
    assert "&amp;lt;" not in source
    assert html.unescape("&lt;gated&gt;") in Page(source).text
