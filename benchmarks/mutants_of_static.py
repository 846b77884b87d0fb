"""Faults in the form for accelerators."""

from __future__ import annotations

from mutant import STATIC_ATTENTION, STATIC_EXPERTS, STATIC_FORM, STATIC_LAYERS, Mutant, mutant

ORDERED = "torch.cat([x_BLE, block.dummy_order.to(x_BLE.dtype).expand(B, 1, -1)], dim=1)"
DUMMY_FIRST = "torch.cat([block.dummy_order.to(x_BLE.dtype).expand(B, 1, -1), x_BLE], dim=1)"
RESIDUAL = "layer.layer_norm2(x_BE + layer.dropout2(y_BE))"
ATTENDED = "drop(layer.dropout1, attend(layer, x_BTE, scaling))"
WEIGHED = "(choice.gate * choice.kept)"
COUNTED = "(rank_XA[:, -1].long() + size - 1) // size"
BACK = "torch.zeros_like(card_BE).index_copy(0, order_B, card_BE)"
PRESENT = "n_present=with_card_B.sum()"

STATIC_MUTANTS: list[Mutant] = [
    mutant("accelerators: absent rows take slots", STATIC_FORM, PRESENT, f"{PRESENT} * 0 + len(order_B)"),
    mutant(
        "accelerators: absent rows are not zeroed",
        STATIC_FORM,
        "card_BE.masked_fill(~with_card_B[:, None], 0.0)",
        "card_BE",
    ),
    mutant("accelerators: rows not put back in order", STATIC_FORM, BACK, "card_BE"),
    mutant(
        "accelerators: cards without a history take part",
        STATIC_FORM,
        "raw_B2[:, 1] * has_card_history_B]",
        "raw_B2[:, 1]]",
    ),
    mutant("accelerators: a block too few", STATIC_EXPERTS, COUNTED, COUNTED.replace("- 1", "- 2")),
    mutant("accelerators: expert of the block before", STATIC_EXPERTS, ">= end_X)", "> end_X)"),
    mutant("accelerators: dropped assignments count", STATIC_EXPERTS, WEIGHED, "choice.gate"),
    mutant("accelerators: dropped ones take slots", STATIC_EXPERTS, "[:, None]) & kept_A", "[:, None])"),
    mutant(
        "accelerators: expert without ReLU",
        STATIC_EXPERTS,
        "torch.relu(torch.bmm(x_KSE, ",
        "(torch.bmm(x_KSE, ",
    ),
    mutant("accelerators: draws of one position", STATIC_EXPERTS, "n_positions or T", "T"),
    mutant(
        "accelerators: gates get no gradient", STATIC_EXPERTS, WEIGHED, "(choice.gate.detach() * choice.kept)"
    ),
    mutant(
        "accelerators: residual sum of the last layer lost",
        STATIC_LAYERS,
        RESIDUAL,
        "layer.layer_norm2(layer.dropout2(y_BE))",
    ),
    mutant(
        "accelerators: no dropout after attention", STATIC_LAYERS, ATTENDED, "attend(layer, x_BTE, scaling)"
    ),
    mutant(
        "accelerators: attention mask ignored",
        STATIC_ATTENTION,
        "time_BT1, key_padding_mask_BT, attn_mask_TT)",
        "time_BT1, key_padding_mask_BT)",
    ),
    mutant("accelerators: dummy token first", STATIC_ATTENTION, ORDERED, DUMMY_FIRST),
]
