"""Faults that show only as training runs: with gradients, in its precision and at its batch size."""

from __future__ import annotations

from mutant import (
    ATTENTION,
    AUTOCAST,
    BLOCKS,
    CLASSIFIERS,
    DROPOUT,
    EXPERTS,
    FOLDED,
    LAYERS,
    NETWORKS,
    PARAMETERS,
    Mutant,
    mutant,
)

DROPPED = "weights = functional.dropout(weights, block.dropout, block.training)"
DROPPED_LAST = "weights_BHT = functional.dropout(weights_BHT, block.dropout, block.training)"
NORMED = "combined_BE = network.layer_norm(order_BE)"
ORDER = "order_BE = network.order_attention(*history, batch.get(ATTN_MASK), trace=trace)"
GATES = "gate_B2 = torch.stack([raw_B2[:, 0], raw_B2[:, 1] * has_card_history_B], dim=1)"
GRADIENTS = "return grad_x_nE, residual, None, grad_gate_2n, grad_w1, grad_w2, None, None"
CLASSIFIER_DROPOUT = "nn.Dropout(self.config.dropout),\n            nn.Linear(CLASSIFIER"


def normed(changed: str) -> str:
    """The dual network's combined vector, changed."""
    return f"order_BE = {changed}\n    {NORMED}"


RUN_MUTANTS: list[Mutant] = [
    # Dropout with gradients
    mutant(
        "attention dropout left out with gradients",
        ATTENTION,
        DROPPED,
        DROPPED.replace("block.training", "block.training and not torch.is_grad_enabled()"),
    ),
    mutant(
        "read-out dropout left out with gradients",
        ATTENTION,
        DROPPED_LAST,
        DROPPED_LAST.replace("block.training", "block.training and not torch.is_grad_enabled()"),
    ),
    mutant(
        "read-out dropout unscaled with gradients",
        ATTENTION,
        DROPPED_LAST,
        DROPPED_LAST + "\n    if block.training and torch.is_grad_enabled():\n"
        "        weights_BHT = weights_BHT * (1 - block.dropout)",
    ),
    mutant(
        "queueing rows: draws of other rows",
        DROPOUT,
        "self.kept.index_select(0, places)",
        "self.kept.index_select(0, places.flip(0))",
    ),
    mutant("queueing rows: unscaled dropout", DROPOUT, ".div_(1 - self.rate)", ".div_(1)"),
    mutant(
        "queueing rows: padding asks for other experts",
        DROPOUT,
        "gates_Xm = experts.gates(mixture, padded_mE)",
        "gates_Xm = experts.gates(mixture, -padded_mE)",
    ),
    mutant(
        "first residual dropout left out with gradients",
        LAYERS,
        "return x_nE + layer.dropout1(",
        "return x_nE + nn.Identity()(",
    ),
    mutant(
        "second residual dropout scaled twice with gradients",
        LAYERS,
        "return residual + dropout(_whole(parts))",
        "return residual + dropout(_whole(parts)) / (1 - getattr(dropout, 'p', 0.0))",
    ),
    mutant(
        "folded dropout left out with gradients",
        FOLDED,
        "residual_nE = x_nE if own else residual_nE\n",
        "residual_nE = x_nE if own else residual_nE\n"
        "        dropout = 0.0 if any(ctx.needs_input_grad) else dropout\n",
        "one_head",
    ),
    mutant(
        "folded dropout's gradient unscaled",
        FOLDED,
        "1.0 / (1.0 - dropout)",
        "1.0",
        "one_head",
    ),
    mutant(
        "folded dropout's gradient with another row's draws",
        FOLDED,
        "grad_weights, kept_BTT, 1.0",
        "grad_weights, kept_BTT.flip(0), 1.0",
        "one_head",
    ),
    mutant(
        "read-out layer of feature attention drops half",
        LAYERS,
        "return x_BD + layer.dropout2(y_BD)",
        "return x_BD + nn.functional.dropout(y_BD, layer.dropout2.p / 2, layer.dropout2.training)",
    ),
    mutant(
        "plain block of the last token without dropout",
        LAYERS,
        "return block(x_BE)\n    return block(x_BE[None])[0]",
        "return block[3](block[1](block[0](x_BE)))\n    return block(x_BE[None])[0]",
        "plain",
    ),
    mutant(
        "generator set back in every forward",
        CLASSIFIERS,
        'cid, ccid = histories(batch, "dual")',
        'cid, ccid = histories(batch, "dual")\n    torch.manual_seed(1)',
    ),
    # Shared by both computations
    mutant("MLP branch's dropout in both", NETWORKS, "MLP_DROPOUT = 0.1", "MLP_DROPOUT = 0.2", "single"),
    mutant(
        "classifier's dropout halved in both",
        NETWORKS,
        CLASSIFIER_DROPOUT,
        CLASSIFIER_DROPOUT.replace("dropout),", "dropout / 2),"),
        "dropping",
    ),
    mutant(
        "classifier's dropout left out in both",
        NETWORKS,
        CLASSIFIER_DROPOUT,
        CLASSIFIER_DROPOUT.replace("nn.Dropout(self.config.dropout)", "nn.Identity()"),
    ),
    mutant(
        "card gate's dropout in both",
        NETWORKS,
        "nn.Dropout(config.dropout),\n            nn.Linear(config.gate_hidden_dim",
        "nn.Dropout(0.0),\n            nn.Linear(config.gate_hidden_dim",
        "dropping",
    ),
    mutant(
        "plain block's dropout in both",
        BLOCKS,
        "nn.Dropout(dropout), nn.Linear(hidden_dim, dim)",
        "nn.Dropout(dropout / 2), nn.Linear(hidden_dim, dim)",
        "dropping",
    ),
    mutant(
        "MLP branch's dropout unscaled in both",
        NETWORKS,
        "nn.Dropout(MLP_DROPOUT),",
        "type('Unscaled', (nn.Dropout,), {'forward': lambda self, x: "
        "nn.Dropout.forward(self, x) * ((1 - self.p) if self.training else 1)})(MLP_DROPOUT),",
        "single",
    ),
    mutant(
        "capacity capped at 32 in both",
        PARAMETERS,
        "return max(min(n_tokens, int(",
        "return max(min(n_tokens, 32, int(",
    ),
    # Precision
    mutant(
        "history detached in float32 training",
        CLASSIFIERS,
        ORDER,
        ORDER + "\n        order_BE = order_BE.detach() if order_BE.dtype == torch.float32 else order_BE",
        "single",
    ),
    mutant(
        "histories detached in float32 training",
        CLASSIFIERS,
        NORMED,
        normed("order_BE.detach() if order_BE.dtype == torch.float32 else order_BE"),
    ),
    mutant(
        "detached under bfloat16 autocast",
        CLASSIFIERS,
        NORMED,
        normed('order_BE.detach() if torch.is_autocast_enabled("cpu") else order_BE'),
    ),
    mutant(
        "weights detached under autocast",
        AUTOCAST,
        "tensor.to(dtype) for",
        "tensor.detach().to(dtype) for",
    ),
    mutant(
        "experts' gradient halved under bfloat16",
        EXPERTS,
        GRADIENTS,
        "half = 0.5 if x_nE.dtype == torch.bfloat16 else 1.0\n"
        "        return grad_x_nE, residual, None, grad_gate_2n, half * grad_w1, half * grad_w2, None, None",
    ),
    mutant(
        "gate gradient cut in float32",
        CLASSIFIERS,
        GATES,
        GATES + "\n    gate_B2 = gate_B2.detach() if gate_B2.dtype == torch.float32 else gate_B2",
    ),
]
