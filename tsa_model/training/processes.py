"""More than one process: strategies, what is sharded, and how the processes are started."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from tsa_model.files import write_json
from tsa_model.network.blocks import FeatureAttentionModule, OrderAttentionModule
from tsa_model.settings.run import RunConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.stopping import STATUS

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def create_strategy(training: TrainConfig) -> Strategy | str:
    """Lightning's strategy: sharded (fsdp), replicated (ddp), or `auto` for a single process.

    A resume point is one file with whole tensors under every strategy.
    """
    n_processes = training.devices * training.num_nodes
    if training.strategy == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=n_processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    if training.strategy == "ddp" or n_processes > 1:
        return DDPStrategy(find_unused_parameters=False)
    return "auto"


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network's parameters over the processes of `mesh`, in place.

    Each attention block is a unit of its own, gathered when it is called; everything else is gathered at
    the start of the forward pass. The embedding tables are among the latter: several blocks read them.
    """
    tables = {
        p for module in network.modules() if isinstance(module, nn.Embedding) for p in module.parameters()
    }
    for module in network.modules():
        if isinstance(module, OrderAttentionModule | FeatureAttentionModule):
            fully_shard(module, mesh=mesh, ignored_params=tables)
    fully_shard(network, mesh=mesh)


def started_by_launcher() -> bool:
    """Whether this is one of the processes torch.distributed.run has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that no orphan trains on beside a new run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def check_world_size(training: TrainConfig) -> None:
    """Refuse to train in one process a run that is configured for several.

    Raises:
        ValueError: the launcher started another number of processes than the configuration says.
    """
    expected, found = training.devices * training.num_nodes, int(os.environ.get("WORLD_SIZE", "1"))
    if found != expected:
        raise ValueError(
            f"{found} training processes were started, but devices={training.devices} and"
            f" num_nodes={training.num_nodes} ask for {expected}"
        )


def train_in_processes(
    store_dir: str | Path, run: RunConfig, model_dir: str | Path, log_dir: str | Path
) -> dict[str, Any]:
    """Start one training process per device of this machine and wait for them.

    Returns:
        The return value of `train_model` in the first process.

    Raises:
        ValueError: the configuration asks for several nodes, which only their cluster can start.
        RuntimeError: a process failed; the message is that of the first one that did.
    """
    training = run.training
    if training.num_nodes > 1:
        raise ValueError(
            f"num_nodes={training.num_nodes}: start `python -m torch.distributed.run -m tsa_model.train`"
            " on every node"
        )
    log_dir = Path(log_dir)
    run_path, metrics_path, error_path = (log_dir / f"{n}.json" for n in ("run", "metrics", "error"))
    for path in (metrics_path, error_path):
        path.unlink(missing_ok=True)
    write_json(run_path, run.model_dump(mode="json"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={training.devices}", "-m", "tsa_model.train"]
    command += ["--store", str(store_dir), "--config", str(run_path), "--model", str(model_dir)]
    command += ["--training-log", str(log_dir), "--metrics", str(metrics_path)]
    status = _run_forwarding_sigterm(command)
    if status != 0:
        message = f"see {log_dir}"
        if error_path.is_file():
            message = json.loads(error_path.read_text(encoding="utf-8"))["message"]
        raise RuntimeError(f"training in {training.devices} processes ended with status {status}: {message}")
    return json.loads(metrics_path.read_text(encoding="utf-8"))


def _run_forwarding_sigterm(command: list[str]) -> int:
    """Run a command and hand signals on to it, so that it saves a resume point and no orphan trains on.

    Raises:
        SystemExit: SIGTERM came.
    """
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    told = []

    def hand_on(number: int, _: FrameType | None) -> None:
        told.append(number)
        process.terminate()

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        status = process.wait()
        if told:
            raise SystemExit(STATUS[signal.SIGTERM])
        return status
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()
            process.wait()
