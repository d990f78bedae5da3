"""What the server does: invite the nodes, and fold what they reply, or read what came in at the forge's own door."""

from __future__ import annotations

from pathlib import Path

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from medforge.aggregator.flower.deliveries import Deliveries
from medforge.aggregator.flower.rounds import ForgeResult
from medforge.aggregator.flower.strategy import strategy_for
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import change, policy_to_serve
from medforge.aggregator.forge.settings import existing_settings
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.page.site import Site
from medforge.aggregator.page.static_site import write_site
from medforge.base import load_base
from medforge.errors import MedForgeError
from medforge_flower.plan import GRPC, Plan
from medforge_flower.report import delivered, report

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """See as many branches in as the plan expects, write the forge's page, and say what came of it."""
    try:
        plan = Plan.read(context.run_config)
        print(_follow(grid, plan) if plan.deliver == GRPC else _fold(grid, plan))
    except MedForgeError as error:
        print(f"medforge: {error}")
        # only what is raised makes the run a failed one; Flower writes where it was raised, too
        raise


def _follow(grid: Grid, plan: Plan) -> str:
    """Wait for what nodes push to a forge that `medforge serve` serves."""
    forge = Forge.open(plan.out / "forge")
    try:
        deliveries = Deliveries(forge, grid, plan.poll, again=plan.again)
        result = deliveries.run(plan.branches, plan.patience)
        _write_page(forge, plan.out)
        return delivered(forge, deliveries.arrivals(), result, plan.out)
    finally:
        forge.close()


def _fold(grid: Grid, plan: Plan) -> str:
    torch.set_num_threads(1)
    directory = plan.out / "forge"
    new = existing_settings(directory) is None
    policy = change(policy_to_serve(directory, new), ["tasks.open=true", *plan.policy])
    base = load_base(plan.base)
    forge = Forge.establish(directory, base, choose_settings(method=plan.merge, seed=plan.seed), policy=policy)
    try:
        main_branch = MainBranch(forge, base)
        result: ForgeResult = strategy_for(main_branch, plan.poll, again=plan.again).start(
            grid, num_rounds=plan.branches, timeout=plan.patience
        )
        _write_page(forge, plan.out)
        return report(main_branch, result, plan.out)
    finally:
        forge.close()


def _write_page(forge: Forge, out: Path) -> None:
    site = Site(forge)
    site.update()
    write_site(site, out / "page")
