"""What a node does in a round: an epoch from the average so far, or a score of it on its validation images."""

from __future__ import annotations

from functools import lru_cache

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from medforge.client.checkpoint import Checkpoint
from medforge.client.evaluate import score_model
from medforge.client.train import Training
from medforge.progress import Progress
from medforge.simulation.centres import Centre
from medforge_fedavg.plan import Plan, arrays_of, put

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train an epoch from what the server sent, with the moments and at the rate that the centre had reached."""
    training, checkpoint = _begun(context)
    put(message.content.array_records["arrays"], training)
    with Progress("averaging", training.steps) as bar:
        epoch = training.run_epoch(bar)
    checkpoint.save(*training.state())
    metrics = MetricRecord({"num-examples": len(training.task.train), "loss": epoch.train_loss})
    return Message(RecordDict({"arrays": arrays_of(training), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the average on the centre's validation images."""
    training, _ = _begun(context)
    put(message.content.array_records["arrays"], training)
    score = score_model(training.model, training.base, training.task, "validation")
    metrics = MetricRecord({"num-examples": len(training.task.validation), "acc": score.acc})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _begun(context: Context) -> tuple[Training, Checkpoint]:
    """Return a centre's training where its last round left it."""
    plan = Plan.read(context.run_config)
    centre = _centre(context, plan)
    training = _opened(plan, centre)
    checkpoint = Checkpoint(plan.out / "centres" / centre.name / "averaging.safetensors", training.identity())
    saved = checkpoint.load()
    if saved is not None:
        training.restore(*saved)
    return training, checkpoint


def _centre(context: Context, plan: Plan) -> Centre:
    config = context.node_config
    if "centre" in config:
        return next(one for one in plan.centres if one.name == config["centre"])
    return plan.centres[int(config["partition-id"])]


# a process that serves a centre again need not open its images anew; what an epoch changed comes from the checkpoint
@lru_cache(maxsize=16)
def _opened(plan: Plan, centre: Centre) -> Training:
    return plan.training(centre)
