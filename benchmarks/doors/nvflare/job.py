"""Let NVFlare's simulator average a plugin that nobody trains, and write what that took as JSON.

Runs where NVFlare is installed, and needs nothing of MedForge. The plugin's factors go as one array, which is what
NVFlare's NumPy recipe takes. Bytes are those of the loopback, so that the process must have a network of its own:
``unshare --map-root-user --net python job.py --plugin DIR --out DIR``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv
from safetensors.numpy import load_file


def main() -> None:
    """Run the job, and write ``result.json``."""
    options = _options()
    options.out.mkdir(parents=True)
    factors = load_file(options.plugin / "adapter_model.safetensors")
    payload = np.concatenate([factors[name].ravel() for name in sorted(factors)]).astype(np.float32)
    start = (options.out / "start.npy").absolute()
    np.save(start, payload)
    recipe = NumpyFedAvgRecipe(
        name="plugin",
        initial_ckpt=str(start),
        min_clients=options.sites,
        num_rounds=options.rounds,
        train_script=str(Path(__file__).with_name("exchange.py")),
    )
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    began = time.monotonic()
    recipe.execute(SimEnv(num_clients=options.sites, workspace_root=str(options.out.absolute())))
    seconds = time.monotonic() - began
    averaged = np.load(next(options.out.rglob("server.npy")))
    result = {
        "payload": payload.nbytes,
        "wire": _loopback(),
        "seconds": seconds,
        "unchanged": bool(np.allclose(averaged, payload)),
    }
    (options.out / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _loopback() -> int:
    """Return the bytes that went over the loopback of this network."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.lstrip().startswith("lo:")).split(":")[1].split()[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
