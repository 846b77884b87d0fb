"""Run the whole pipeline with kfp's DockerRunner: `python docker_dag.py IMAGE FOLDER CONFIG [EVENTS]`.

A process of its own, because kfp's local execution changes `print` and the root logger. Every stage gets a
container without network, on a read-only root, in which only `/tmp` and FOLDER can be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kfp import components, local

from launcher.compilation import compiled_documents, write_documents
from pipeline import define


def main(image: str, folder: Path, config: str, events: str) -> None:
    """Compile the pipeline for `image` and run it below `folder`; the files it leaves tell how it went."""
    local.init(
        runner=local.DockerRunner(
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": "mode=1777"},
        ),
        pipeline_root=str(folder / "artifacts"),
        workspace_root=str(folder / "workspace"),
        raise_on_error=False,
    )
    write_documents(compiled_documents(define(), image), folder / "pipeline.yaml")
    pipeline = components.load_component_from_file(str(folder / "pipeline.yaml"))
    pipeline(config=config, events=events)


if __name__ == "__main__":
    image, folder, config, *events = sys.argv[1:]
    main(image, Path(folder).resolve(), config, *(events or [""]))
