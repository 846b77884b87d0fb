"""The ONNX files that `scoring.py` compares, written by whichever version of this project is imported.

    python benchmarks/scoring_files.py FOLDER
    PYTHONPATH=OTHER OTHER/.venv/bin/python benchmarks/scoring_files.py OTHER_FOLDER --weights FOLDER

Here OTHER is a checkout of another version with its own environment. Both folders then hold the same
networks, with the weights of the first. This file imports nothing that the first versions did not have.

`plain` is the first demo's network, without trees and wide head: 9 categorical, 10 numerical and 4 engineered
features, 26 orders, table width 32, 4 heads, 2 + 2 layers, 3 experts. `full` is the default configuration, as
`scoring.py` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import default_network
import torch
from safetensors.torch import load_file, save_file

import tsa_model
from tsa_model import ModelConfig, build_network
from tsa_model.export.graph import write_onnx


def configuration(size: str, sequences: str) -> ModelConfig:
    """The network of a size that every version knows: `plain` or `full`."""
    if size == "full":
        return default_network.configuration(sequences, "deterministic")
    return ModelConfig(
        sequences=sequences,
        dim_embedding_table=32,
        dim_attn_feedforward=64,
        num_heads=4,
        n_layers_order=2,
        n_layers_feature=2,
        num_experts=3,
        n_cat_features=9,
        n_num_features=10,
        n_engineered_num_features=4,
        n_embedding=200,
        seq_len=26,
        moe_eval="deterministic",
    )


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--weights", type=Path, help="folder that this script has written before")
    parser.add_argument("--sizes", nargs="+", choices=["plain", "full"], default=["plain", "full"])
    parser.add_argument("--sequences", nargs="+", choices=["single", "dual"], default=["single", "dual"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"of {tsa_model.__file__}")
    for size in args.sizes:
        for sequences in args.sequences:
            name = f"{size}_{sequences}"
            torch.manual_seed(0)
            network = build_network(configuration(size, sequences), "fast").eval()
            if args.weights:
                network.load_state_dict(load_file(args.weights / f"{name}.safetensors"))
            weights = {key: values.contiguous().clone() for key, values in network.state_dict().items()}
            save_file(weights, args.folder / f"{name}.safetensors")
            write_onnx(network, args.folder / f"{name}.onnx", {})
            print(f"{name}.onnx", flush=True)


if __name__ == "__main__":
    main()
