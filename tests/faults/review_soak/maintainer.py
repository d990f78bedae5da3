"""The maintainer of a soak with reviews."""

from medforge.aggregator.forge.maintenance import accept, reject
from medforge.aggregator.ledger.records import State
from medforge.errors import MedForgeError
from tests.faults.review_soak.stage import HONEST, Stage


def maintain(stage: Stage) -> None:
    """Accept what is held of the honest, reject some of the rest."""
    draw = stage.crew.random("maintain")
    while not stage.crew.over:
        stage.crew.rest(draw.uniform(2, 6))
        with stage.opened() as forge:
            for arrival in forge.ledger.arrivals(State.HELD):
                try:
                    if arrival.contributor in HONEST:
                        accept(forge, str(arrival.number))
                        stage.tally.add("honest branches accepted by the maintainer")
                    elif draw.random() < 0.3:
                        reject(forge, str(arrival.number), "it does harm")
                        stage.tally.add("attacks rejected by the maintainer")
                except MedForgeError:
                    # its contributor withdrew it meanwhile
                    continue
