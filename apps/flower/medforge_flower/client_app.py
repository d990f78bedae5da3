"""What a node does: train, distil, commit and audit on its own images, and hand the branch in."""

from __future__ import annotations

import logging

import torch
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from medforge.branch import Branch
from medforge.client.begin import begin_work
from medforge.client.egress_gate import open_gate
from medforge.client.send import push_workspace
from medforge.client.work import Work
from medforge.client.workspace import WorkspaceBusy
from medforge.errors import MedForgeError
from medforge.proto.flower import branch_to_record, busy_record, idle_record, receipt_to_record
from medforge_flower.node import Node, node_of
from medforge_flower.plan import Plan

app = ClientApp()
_log = logging.getLogger(__name__)
_REFUSED = 1
_MINUTES = 60.0


@app.train()
def contribute(message: Message, context: Context) -> Message:
    """Make this node's branch and reply with it, with the receipt of it, or with the sentence that says why not."""
    try:
        plan = Plan.read(context.run_config)
        node = node_of(context.node_config, plan)
        content = idle_record() if node is None else _branch(node, plan, str(context.run_config["override"]) or None)
    except WorkspaceBusy:
        # the server asks again who is long at work, in case the node was started anew
        content = busy_record()
    except MedForgeError as error:
        _log.error("no branch: %s", error)
        return Message(Error(_REFUSED, str(error)), reply_to=message)
    return Message(content, reply_to=message)


def _branch(node: Node, plan: Plan, override: str | None) -> RecordDict:
    # the same branch on every machine: results depend on the number of threads
    torch.set_num_threads(1)
    centre = node.centre
    given = {"source": centre.source, "task": centre.task, "contributor": centre.name, "base": plan.base}
    work = begin_work(node.workspace, {**given, "seed": plan.seed}, plan.recipe, plan.changes, plugin=plan.plugin)
    with work.workspace.locked():
        return _made(work, node, override)


def _made(work: Work, node: Node, override: str | None) -> RecordDict:
    work.check_distillable()
    work.train()
    work.distill()
    kit = node.connection.kit if node.connection else None
    work.commit(kit, say=_log.info)
    work.audit()
    if node.connection is not None:
        return receipt_to_record(push_workspace(work.workspace, node.connection, _MINUTES, _log.info, override))
    open_gate(work.workspace, override)
    return branch_to_record(Branch.load(work.workspace.branch), node.turn, node.due)
