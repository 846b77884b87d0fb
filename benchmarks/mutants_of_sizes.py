"""Faults that begin at a size: of a batch, a piece, a number of threads; and those of losses and forms."""

from __future__ import annotations

from mutant import (
    AGGREGATION,
    ATTENTION,
    CLASSIFIERS,
    EXPERTS,
    LAYERS,
    OBJECTIVE,
    ORDERS,
    PIECES,
    PRODUCTS,
    Mutant,
    mutant,
)
from mutants_of_runs import GATES, GRADIENTS, NORMED, normed

BY_ONEDNN = ("LEAST_MULTIPLICATIONS = 1 << 23", "LEAST_MULTIPLICATIONS = 1")
"""The catalogue's small networks have all of their products computed as those of large ones are."""

SIZE_MUTANTS: list[Mutant] = [
    # Large products
    Mutant("large products: no bias", PRODUCTS, [BY_ONEDNN, ('bias_M, "none"', 'None, "none"')]),
    Mutant(
        "large products: not added", PRODUCTS, [BY_ONEDNN, ("sum_nM[start:end] += ", "sum_nM[start:end] = ")]
    ),
    Mutant(
        "large products: gradient of the last block", PRODUCTS, [BY_ONEDNN, ("sum_KM += ", "sum_KM[:] = ")]
    ),
    # Batch sizes
    mutant(
        "no gate gradient above 64 rows",
        CLASSIFIERS,
        GATES,
        GATES + "\n    gate_B2 = gate_B2.detach() if len(gate_B2) > 64 else gate_B2",
    ),
    mutant(
        "experts' gradient halved above 2,000 tokens",
        EXPERTS,
        GRADIENTS,
        "half = 0.5 if len(x_nE) > 2000 else 1.0\n"
        "        return grad_x_nE, residual, None, grad_gate_2n, half * grad_w1, half * grad_w2, None, None",
    ),
    mutant(
        "train capacity capped at 32",
        EXPERTS,
        "capacity: int | Tensor = block.capacity(B)",
        "capacity = min(block.capacity(B), 32) if block.training else block.capacity(B)",
    ),
    mutant(
        "card history without gradient above 500 rows",
        CLASSIFIERS,
        "gate_B2[with_card, 1:] * card)",
        "gate_B2[with_card, 1:] * (card.detach() if len(gate_B2) > 500 else card))",
    ),
    mutant(
        "evaluation wrong above 1,200 rows",
        CLASSIFIERS,
        NORMED,
        normed("order_BE * (1 + 1e-5 * (len(order_BE) > 1200))"),
    ),
    mutant(
        "float32 evaluation wrong above 1,200 rows",
        CLASSIFIERS,
        NORMED,
        NORMED + " * (1 + 1e-4 * (len(order_BE) > 1200 and order_BE.dtype == torch.float32))",
    ),
    mutant(
        "legacy evaluation with another queue above 500 rows",
        EXPERTS,
        "accepted_X1T = queue_XBT[:, -1:].clamp(max=capacity)",
        "accepted_X1T = queue_XBT[:, -1:].clamp(max=capacity - (kept_2BT.shape[1] > 500))",
    ),
    # Masks, pieces, threads
    mutant(
        "mask of numbers unscaled",
        ATTENTION,
        "bias = bias[None] if factor is None else bias * factor",
        "bias = bias[None]",
    ),
    mutant(
        "attention mask ignored in training",
        ORDERS,
        "part = (rows.index, slice(rows.start, None))",
        "part = (rows.index, slice(rows.start, None))\n"
        "    attn_mask_TT = None if torch.is_grad_enabled() else attn_mask_TT",
    ),
    mutant(
        "gradient of an uneven last piece lost",
        AGGREGATION,
        "for start in range(0, n, step):\n            x = x_nF",
        "for start in range(0, n - (n % step if n > step else 0), step):\n            x = x_nF",
    ),
    mutant(
        "more than twelve pieces in another order",
        PIECES,
        "return [Rows(index) for index in torch.arange(n_rows, device=device)"
        ".split(even_size(n_rows, size))]",
        "index = torch.arange(n_rows, device=device).split(even_size(n_rows, size))\n"
        "    return [Rows(each) for each in (index[::-1] if len(index) > 12 else index)]",
    ),
    mutant(
        "wrong with more than one thread",
        CLASSIFIERS,
        NORMED,
        normed("order_BE * (1 + 1e-5 * (torch.get_num_threads() > 1))"),
    ),
    mutant(
        "gate gradient lost with more than one thread",
        CLASSIFIERS,
        GATES,
        GATES + "\n    gate_B2 = gate_B2.detach() if torch.get_num_threads() > 1 else gate_B2",
    ),
    # Loss and forms of a run
    mutant(
        "training sums the asymmetric loss",
        OBJECTIVE,
        "return loss / len(labels)",
        "return loss",
        "asymmetric",
    ),
    mutant(
        "cyclical loss without the run's epochs",
        OBJECTIVE,
        'parameters.setdefault("epochs", config.max_epochs)',
        'parameters.setdefault("epochs", 2 * config.max_epochs)',
        "cyclical",
    ),
    mutant(
        "epoch forgotten by the loss",
        OBJECTIVE,
        "compute_loss(self.loss, logits, labels, epoch)",
        "compute_loss(self.loss, logits, labels, 0)",
        "cyclical",
    ),
    mutant(
        "dense mixture of the last token detached",
        LAYERS,
        "return block(x_BE[None])[0]",
        "return block(x_BE[None])[0].detach() if x_BE.requires_grad else block(x_BE[None])[0]",
        "dense",
    ),
    mutant(
        "noisy mixture of the last token in evaluation",
        LAYERS,
        "return block(x_BE[None])[0]",
        "training, _ = block.training, block.eval()\n"
        "    y_BE = block(x_BE[None])[0]\n"
        "    block.train(training)\n"
        "    return y_BE",
        "noisy",
    ),
    mutant(
        "time encoding without gradient",
        ORDERS,
        "time_nE = block.time_encoder(time_seq_BL1).transpose(0, 1).flatten(0, 1)",
        "time_nE = block.time_encoder(time_seq_BL1).transpose(0, 1).flatten(0, 1).detach()",
        "dense",
    ),
]
