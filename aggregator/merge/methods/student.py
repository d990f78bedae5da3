"""Student: one plugin begun at RegMean++, and trained at the aggregator with all plugins as its teachers."""

from collections.abc import Sequence

from medforge.aggregator.merge.gram import REGRESSION_PARAMETERS
from medforge.aggregator.merge.listing import UNIFORM, Parameter
from medforge.aggregator.merge.method import Round
from medforge.aggregator.merge.methods.regmean_plus_plus import regmean_plus_plus
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.student.lessons import prepare
from medforge.aggregator.merge.student.recipe import PLATE, STUDENT
from medforge.aggregator.merge.student.training import Student, train
from medforge.aggregator.merge.uniform import Uniform, Weighed
from medforge.files import canonical_json, sha256_bytes
from medforge.forge_item import WeightChange


@merge_method(
    name="student",
    item="weights",
    summary="begun at RegMean++, and trained on mixtures of all distilled images with every plugin as a teacher",
    source="ours, after Hinton et al. 2015 and Nguyen et al. 2025",
    parameters={
        "steps": Parameter(STUDENT.steps, 1, 1_000_000, "steps of training, at every arrival"),
        "rank": Parameter(STUDENT.rank, 1, 1024, "rank of what is trained on top of RegMean++"),
        "mixtures": Parameter(STUDENT.mixtures, PLATE, 1_000_000, "mixtures of images drawn for each branch"),
        "rate": Parameter(STUDENT.rate, 1e-8, 1.0, "Adam's highest rate"),
        "features": Parameter(STUDENT.features, 0.0, 1000.0, "weight of the embeddings' distance in the loss"),
        **REGRESSION_PARAMETERS,
    },
    modes=(UNIFORM,),
    any_order=[UNIFORM],
)
class StudentMethod(Uniform):
    """Train one network to say of every branch's images what the branch's own plugin says.

    Every arrival, and every withdrawal, trains anew: what is left out leaves no trace.
    """

    def merge_all(self, merge_round: Round, members: Sequence[Weighed]) -> WeightChange:
        """Merge by RegMean++ and train; a single plugin is what comes out."""
        base, settings, cache = merge_round.base, merge_round.settings, merge_round.probabilities
        start = WeightChange.of(base, regmean_plus_plus(members, base, settings))
        if len(members) == 1:
            return start
        recipe = STUDENT.changed(settings.parameters)
        order = [one.arrived for one in members]
        facts = [base.fingerprint, str(base.dtype), base.device.type, settings.model_dump(mode="json")]
        key = sha256_bytes(canonical_json([*facts, start.digest, [arrived.digest for arrived in order]]))
        lessons = [prepare(base, arrived, recipe, settings.seed, cache) for arrived in order]
        student = Student(base, start.changes, lessons, recipe, settings.seed)
        return WeightChange.of(base, train(student, recipe, cache.directory, key))
