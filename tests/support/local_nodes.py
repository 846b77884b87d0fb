"""Kubeflow Trainer in small: a TrainJob's command in processes of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.kubernetes_stub import StubCluster, node_pod


class LocalNodes:
    """Runs a TrainJob's command once for each node, as Trainer and its torch runtime would."""

    def __init__(self, kubernetes: StubCluster, folder: Path) -> None:
        self.kubernetes, self.folder = kubernetes, folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, job: dict[str, Any]) -> None:
        trainer = job["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for rank in range(trainer["numNodes"]):
            # What Trainer's torch runtime sets in every node.
            environment = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
            }
            plain = {entry["name"]: entry["value"] for entry in trainer["env"] if "value" in entry}
            assert trainer["command"][0] == "python"
            command = [sys.executable, *trainer["command"][1:], *trainer["args"]]
            with open(self.folder / f"node-{rank}.log", "wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **plain, **environment},
                    )
                )
            self.kubernetes.add_pod(node_pod(job["metadata"]["name"], rank))

    def look(self, job: dict[str, Any], looks: int) -> None:
        states = [process.poll() for process in self.processes]
        for rank in range(len(states)):
            lines = (self.folder / f"node-{rank}.log").read_text(errors="replace").splitlines()
            name = node_pod(job["metadata"]["name"], rank)["metadata"]["name"]
            self.kubernetes.logs[name] = [
                f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z {line}" for i, line in enumerate(lines)
            ]
        if any(states):
            for rank, state in enumerate(states):
                if state:
                    self.kubernetes.add_pod(node_pod(job["metadata"]["name"], rank, phase="Failed"))
            self.kubernetes.set_condition(job, "Failed", "JobsFailed", "a node failed")
        elif None not in states:
            self.kubernetes.set_condition(job, "Complete")

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
