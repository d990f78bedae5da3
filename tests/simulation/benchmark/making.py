"""Make small results by hand, with numbers that are easy to check."""

from collections.abc import Callable, Mapping, Sequence

from medforge.simulation.benchmark.results.provenance import Provenance, TaskFacts
from medforge.simulation.benchmark.results.result import (
    FigureResult,
    OrderMethod,
    OrderRun,
    OrdersResult,
    PlanePoint,
    StartKey,
    TableResult,
    TransferResult,
    TransferRun,
    TransferStart,
)
from medforge.simulation.benchmark.results.rows import PaperScore, Row
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.result import Score

SPLITS = ("grouped", "random", "published", "patient", "procedural")


def _score(acc: float) -> Score:
    return Score(acc=acc, auc=acc + 0.03125, balanced=acc - 0.03125)


def score(acc: float, union: float | None = None) -> PromptScores:
    """Make a score whose AUCs lie .03125 above the accuracies, balanced ones as much below; union is half of own."""
    other = acc / 2 if union is None else union
    return PromptScores(own=_score(acc), union=_score(other))


def provenance(tasks: Sequence[str], seeds: Sequence[int] = (0, 1)) -> Provenance:
    facts = tuple(
        TaskFacts(
            name=name, source=f"tissue:{name}", prompts=(f"benign {name}", f"malignant {name}"),
            split=SPLITS[place % len(SPLITS)], score_by="patch", train=24, validation=8, test=1600,
        )
        for place, name in enumerate(tasks)
    )  # fmt: skip
    return Provenance(
        command="medforge benchmark table1 --out results", base="medforge-tiny", base_fingerprint="f" * 64,
        recipe="tiny", changes=("train.epochs=2",), seeds=tuple(seeds), device="cpu", dtype="fp32", tasks=facts,
        branches={f"{name}, seed 0, lora, dm-dsa": "b" * 64 for name in tasks}, versions={"torch": "2.9.0"},
        seconds=125.0, warnings=("numbers of <drawn> images",),
    )  # fmt: skip


def row(
    key: str, label: str, group: str, seeds: Mapping[int, Mapping[str, float]], paper: Mapping[str, PaperScore] = {}
) -> Row:
    scores = {str(seed): {task: score(acc) for task, acc in tasks.items()} for seed, tasks in seeds.items()}
    return Row.model_validate(
        {"key": key, "label": label, "group": group, "seeds": scores, "paper": dict(paper),
         "paper_mean": PaperScore(acc=0.909, auc=0.941) if paper else None}
    )  # fmt: skip


def table(seeds: Sequence[int] = (0, 1)) -> TableResult:
    """Make a table of four rows; a seed's accuracies lie .0625 above those of the seed before."""

    def over_seeds(**tasks: float) -> dict[int, dict[str, float]]:
        return {seed: {task: acc + 0.0625 * place for task, acc in tasks.items()} for place, seed in enumerate(seeds)}

    beside = {"lung": PaperScore(acc=0.959, auc=0.998)}
    return TableResult(
        experiment="table1",
        title="Table 1: merge methods",
        rows=(
            row("base", "base module alone", "no training", over_seeds(lung=0.25, colon=0.375)),
            row("single-task", "LoRA supervised", "upper bound", over_seeds(lung=0.875, colon=0.75)),
            row("fusion", "MedForge-Fusion", "ours and the paper's", over_seeds(lung=0.5, colon=0.25), beside),
            row("mixture-gated", "Mixture, <gated>", "ours and the paper's", over_seeds(lung=0.8125, colon=0.75)),
        ),
        notes=("merged in the order of the centres",),
        provenance=provenance(("lung", "colon"), seeds),
    )


def domain_table() -> TableResult:
    """Make a table of multi-label tasks, whose prompts do not compete, with one training-free merge."""
    whole = table()
    rows = []
    for row in (*whole.rows[:2], whole.rows[2].model_copy(update={"group": "training-free", "paper_mean": None})):
        seeds = {
            seed: {task: score.model_copy(update={"union": None}) for task, score in tasks.items()}
            for seed, tasks in row.seeds.items()
        }
        rows.append(row.model_copy(update={"seeds": seeds, "paper": {}}))
    return whole.model_copy(update={"experiment": "lego-domain", "title": "Med-LEGO, in-domain", "rows": tuple(rows)})


def transfer(seeds: Sequence[int] = (0, 1)) -> TransferResult:
    """Make curves of two tasks; a seed's accuracies lie .0625 above those of the seed before.

    The fresh plugin climbs from .25 to .5 and .75; a merge begins at .5 and is at .75 after one epoch; a fresh one of
    its shape climbs to .5 and stays there. The second seed has one epoch more than the first.
    """
    curves = {"fresh": (0.25, 0.5, 0.75), "merged": (0.5, 0.75, 0.75), "shape": (0.25, 0.5, 0.5)}
    labels = {"fresh": "fresh SVD-LoRA", "merged": "Med-LEGO <of> the others", "shape": "fresh, of its ranks"}

    def run(key: str, place: int) -> TransferRun:
        values = tuple(value + 0.0625 * place for value in curves[key])
        chosen = values.index(max(values[1:]), 1)
        return TransferRun(
            validation=values + values[-1:] * place, chosen=chosen, test=Score(acc=values[chosen], auc=0.9375)
        )

    def start(key: StartKey) -> TransferStart:
        runs = {str(seed): run(key, place) for place, seed in enumerate(seeds)}
        return TransferStart(key=key, label=labels[key], tasks={"lung": runs, "colon": runs})

    return TransferResult(
        title="Med-LEGO, new tasks",
        starts=(start("fresh"), start("merged"), start("shape")),
        notes=("each left out once",),
        provenance=provenance(("lung", "colon"), seeds),
    )


def order_run(order: Sequence[str], accuracy: Callable[[str, int], float], seed: int = 0) -> OrderRun:
    """Make a run; ``accuracy(task, later)`` is a task's accuracy so many arrivals after its own."""
    rounds = tuple(
        {task: score(accuracy(task, last - place)) for place, task in enumerate(order[: last + 1])}
        for last in range(len(order))
    )
    return OrderRun(seed=seed, order=tuple(order), rounds=rounds)


def orders_result(orders: Sequence[Sequence[str]], seeds: Sequence[int] = (0, 1), paper: bool = True) -> OrdersResult:
    """Make two methods: one forgets .0625 an arrival and does worse the later its order comes, one never changes."""
    tasks = tuple(sorted(orders[0]))

    def forgetful(place: int) -> Callable[[str, int], float]:
        return lambda task, later: 0.75 - 0.0625 * later - 0.125 * place / len(orders)

    return OrdersResult(
        title="Order robustness",
        exhaustive=True,
        individual=row(
            "single-task", "LoRA supervised", "upper bound", {s: dict.fromkeys(tasks, 0.875) for s in seeds}
        ),
        methods=(
            OrderMethod(
                key="fusion",
                label="MedForge-Fusion",
                runs=tuple(order_run(o, forgetful(place), seed) for seed in seeds for place, o in enumerate(orders)),
                paper={"BLM": PaperScore(acc=0.79, auc=0.846), "BML": PaperScore(acc=0.806, auc=0.892)}
                if paper
                else {},
            ),
            OrderMethod(
                key="mixture-gated",
                label="Mixture, <gated>",
                runs=tuple(order_run(o, lambda task, later: 0.8125, seed) for seed in seeds for o in orders),
            ),
        ),
        notes=("every order",),
        provenance=provenance(tasks, seeds),
    )


def figure(distilled: bool = True) -> FigureResult:
    """Make one plane: class a around 0, class b around 10; one of b's two distilled images lies among class a."""
    places = {
        ("a", False): ((0.0, 0.0), (1.0, 0.0)), ("a", True): ((0.25, 0.0),),
        ("b", False): ((10.0, 0.0), (11.0, 0.0), (12.0, 0.5)), ("b", True): ((10.5, 0.0), (1.5, 0.0)),
    }  # fmt: skip
    points = tuple(
        PlanePoint(task="lung", prompt=prompt, distilled=is_distilled, x=x, y=y)
        for (prompt, is_distilled), cloud in places.items()
        for x, y in cloud
        if distilled or not is_distilled
    )
    return FigureResult(
        title="Figure 5: real and distilled images", points=points, notes=(), provenance=provenance(("lung",), (0,))
    )
