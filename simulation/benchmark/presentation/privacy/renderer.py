"""The renderer of accuracy and attacks against ε."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.numbers_in_words import measured
from medforge.simulation.benchmark.presentation.pngs import png
from medforge.simulation.benchmark.presentation.privacy.charts import ACCURACIES, ATTACKS, against_epsilon, in_order
from medforge.simulation.benchmark.presentation.privacy.sheets import accuracy_sheet, attack_sheet, spell_epsilon
from medforge.simulation.benchmark.presentation.privacy.verdict import privacy_finding, privacy_verdict
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.privacy import PrivacyResult

LINES = ("experiment", "task", "epsilon", "seed", "part", "measure", "value")


class PrivacyRenderer(Renderer[PrivacyResult]):
    """Show what privacy costs and buys."""

    findings_title = "The most exposed images"

    def verdict(self) -> str:
        """Compare the least ε with none."""
        return privacy_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say of each task and ε how exposed the most exposed image is."""
        return tuple(map(privacy_finding, self.result.points))

    def sheets(self) -> tuple[Sheet, ...]:
        """Write accuracy and attacks."""
        return (accuracy_sheet(self.result), attack_sheet(self.result))

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw both against ε."""
        gist = "; ".join(
            f"{point.task}, ε {spell_epsilon(point.epsilon)}: "
            + ", ".join(f"{name} {measured(point.mean(value))}" for name, value in (*ACCURACIES, *ATTACKS))
            for task in self.result.tasks
            for point in in_order(self.result.of(task))
        )
        seeds = len(self.result.provenance.seeds)
        bars = f" Bars: one standard deviation over {seeds} seeds." if seeds > 1 else ""
        return (
            Drawing(
                name="privacy",
                figure=against_epsilon(self.result),
                title="What privacy costs and buys",
                caption=f"Above: accuracy. Below: how well attacks tell training images from others.{bars}",
                alt=f"Lines of accuracy and AUC against ε. {gist}.",
            ),
        )

    def csv(self) -> str:
        """Write every accuracy and every attack."""
        return csv_text(LINES, self._lines())

    def pictures(self) -> dict[str, bytes]:
        """Add the chart as PNG."""
        return {**super().pictures(), "privacy.png": png(against_epsilon(self.result))}

    def _lines(self) -> Iterator[tuple[str, ...]]:
        for point in self.result.points:
            for seed, one in point.seeds.items():
                before = (self.result.experiment, point.task, spell_epsilon(point.epsilon), seed)
                for part, value in (
                    ("plugin", one.plugin), ("distilled", one.distilled), ("statistics", one.statistics),
                    ("exact statistics", one.exact),
                ):  # fmt: skip
                    if value is not None:
                        yield (*before, part, "accuracy", repr(value))
                for attack in one.attacks:
                    for measure in ("auc", "low", "high", "tpr"):
                        yield (*before, attack.target, f"{attack.name}: {measure}", repr(getattr(attack, measure)))
