"""Faults in evaluation where rows are few: mixtures without sorting, rows without a queue, what is kept."""

from __future__ import annotations

from mutant import EXPERTS, FEW_TOKENS, ORDERS, PIECES, Mutant, mutant

OTHERS = "others_Xn = gates_Xn.scatter(0, first_1n, 0.0)"

FEW_TOKEN_MUTANTS: list[Mutant] = [
    mutant("few tokens: expert without ReLU", FEW_TOKENS, ".relu_().mul_(", ".mul_("),
    mutant("few tokens: gates not normalised", FEW_TOKENS, "first_gate_1n).div_(total_1n)", "first_gate_1n)"),
    mutant("few tokens: first expert twice", FEW_TOKENS, OTHERS, "others_Xn = gates_Xn.clone()"),
    mutant(
        "few tokens: experts shifted by one",
        FEW_TOKENS,
        "weight_Xn[:, :, None]",
        "weight_Xn.roll(1, 0)[:, :, None]",
    ),
    mutant(
        "few tokens: dropped experts count",
        EXPERTS,
        "(choice.gate * choice.kept).flatten(1)",
        "choice.gate.flatten(1)",
    ),
    mutant(
        "few rows: draws of their own positions only",
        ORDERS,
        "post_norm_layer(layer, tokens, scalings, sizes, T)",
        "post_norm_layer(layer, tokens, scalings, sizes)",
    ),
    mutant(
        "few rows: a position too many left out", PIECES, "int(empty_T.argmin())", "int(empty_T.argmin()) + 1"
    ),
]
