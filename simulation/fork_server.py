"""The server that a run forks its processes from: it has imported once what they need, seconds for each otherwise.

`python -m medforge.simulation.fork_server DESCRIPTOR RUN [SPEC DEVICE DTYPE]` answers on the socket DESCRIPTOR to the
process RUN, see `fork_client`. With a base module's SPEC it loads that ahead, too, where it computes on a CPU: the
processes share its memory. A request is one byte with descriptors: a socket of the new process, its output, and what
it keeps.

A new process is forked twice: the one in between ends at once, whereupon the run, which adopts orphans, is the parent.
So the run waits for its processes itself, the kernel ends them with the run, and the server may end at any time.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import socket
import sys
import threading
import time
from importlib import import_module
from typing import NoReturn

from medforge.cli import main
from medforge.errors import MedForgeError
from medforge.simulation.linux import end_with

IMPORTED = (
    "confusable_homoglyphs.confusables",
    "matplotlib.backends.backend_svg",
    "medforge.aggregator.cli.serve",
    "medforge.aggregator.server.server",
    "medforge.client.audit.page",
    "medforge.client.begin",
    "medforge.client.cli.contribute",
    "medforge.client.data.sources.tissue",
    "medforge.client.interruption",
    "medforge.client.doctor.demanded_privacy",
    "medforge.client.send",
    "medforge.client.work",
    "medforge.tracking.opening",
    "sklearn.metrics",
)
"""What `serve`, `contribute`, `review` and `push` import; nothing of it starts a thread or touches a device."""

MOST_DESCRIPTORS = 16
_LOOK_SECONDS = 0.0005


def answer(control: socket.socket, run: int) -> list[str]:
    """Fork a process at each request; return in each of them, with its arguments, and never in the server itself."""
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, 1, MOST_DESCRIPTORS)
        if not asked:
            os._exit(0)
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork() != 0:
                os._exit(0)
            control.close()
            return _begin(descriptors, between, run)
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def _begin(descriptors: list[int], between: int, run: int) -> list[str]:
    """Be a process of the run's own, and return the arguments once the run has heard of it."""
    talk, output = descriptors[:2]
    os.setsid()
    while os.getppid() == between:
        time.sleep(_LOOK_SECONDS)
    end_with(run)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    with socket.socket(fileno=talk) as conversation, conversation.makefile("rwb") as lines:
        request = json.loads(lines.readline() or os._exit(1))
        os.environ.clear()
        os.environ.update(request["environment"])
        lines.write(b"%d\n" % os.getpid())
        lines.flush()
        # a run that was interrupted meanwhile knows nothing of this process
        if not lines.readline():
            os._exit(1)
    return list(request["arguments"])


def be_command(arguments: list[str]) -> NoReturn:
    """Be `medforge ARGUMENTS…`, and end as a process of multiprocessing does.

    Threads are waited for and exit functions run; what the server imported is not torn down, which takes a second.
    """
    sys.argv = ["medforge", *arguments]
    try:
        main()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def load_shared(spec: str, device: str, dtype: str) -> None:
    """Load a base module for all processes to come, unless it computes on an accelerator, which none may share.

    What cannot be loaded is left to whoever needs it, who says why.
    """
    from medforge.base import load_ahead
    from medforge.base_check import resolve_base

    # asked by NVML, CUDA is not begun: a process that is forked after that could not use it
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    import torch

    if device != "cpu" and (device != "auto" or torch.cuda.is_available()):
        return
    with contextlib.suppress(MedForgeError):
        load_ahead(resolve_base(spec), device, dtype)


if __name__ == "__main__":
    end_with(int(sys.argv[2]))
    for name in IMPORTED:
        import_module(name)
    if sys.argv[3:]:
        load_shared(*sys.argv[3:])
    # what is here stays: no process looks through it again for garbage, or copies its pages by looking
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        arguments = answer(listening, int(sys.argv[2]))
    be_command(arguments)
