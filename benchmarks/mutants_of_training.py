"""Faults in precision, randomness, gradients and losses."""

from __future__ import annotations

from mutant import (
    AGGREGATION,
    ATTENTION,
    CLASSIFIERS,
    EXPERTS,
    FOLDED,
    FUNCTIONAL,
    LAYERS,
    LOSSES,
    Mutant,
    mutant,
)

GATES = "functional.linear(w_XE, x_nE)"
GATES_BF16 = """(
        (x_nE.bfloat16() @ block.gate.w_gating.bfloat16()).to(x_nE.dtype)
        if x_nE.dtype == torch.float32
        else x_nE @ block.gate.w_gating
    ).t()"""

TRAINING_MUTANTS: list[Mutant] = [
    # Precision and randomness
    mutant(
        "float16 somewhere",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE.half().to(order_BE.dtype))",
    ),
    mutant(
        "float32 inside float64",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE.float().to(order_BE.dtype))",
    ),
    mutant("bfloat16 in the gate, in float32 only", EXPERTS, GATES, GATES_BF16),
    mutant(
        "dropout left on",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "functional.dropout(weights_BHT, block.dropout, True)",
    ),
    mutant(
        "all rows lose the same",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "weights_BHT * functional.dropout(torch.ones_like(weights_BHT[:1]), block.dropout, block.training)",
    ),
    mutant(
        "dropout left out",
        LAYERS,
        "add_up(residual_nE, layer.dropout2,",
        "add_up(residual_nE, nn.Identity(),",
    ),
    mutant(
        "dropout at half the rate",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "functional.dropout(weights_BHT, block.dropout / 2, block.training)",
    ),
    # Gradients
    mutant(
        "gate gradient halved",
        EXPERTS,
        "torch.linalg.vecdot(grad_h, h)",
        "0.5 * torch.linalg.vecdot(grad_h, h)",
    ),
    mutant(
        "gate gradient cut",
        EXPERTS,
        "gate_2BT = _top2(gates_XBT)",
        "gate_2BT = _top2(gates_XBT.detach())",
    ),
    mutant(
        "gate's normalisation without gradient",
        EXPERTS,
        "gate_2BT / (gate_2BT.sum(dim=0) + 1e-9)",
        "gate_2BT / (gate_2BT.sum(dim=0).detach() + 1e-9)",
    ),
    mutant(
        "bfloat16 in the experts' gradient, in float32 only",
        EXPERTS,
        "grad_y = grad_nE.index_select(0, token)",
        "grad_y = grad_nE.index_select(0, token)\n"
        "        grad_y = grad_y.bfloat16().float() if grad_y.dtype == torch.float32 else grad_y",
    ),
    mutant(
        "table's gradient of the last piece alone",
        AGGREGATION,
        "grad_table.index_add_(",
        "grad_table.zero_().index_add_(",
    ),
    mutant(
        "encoder bias without gradient",
        AGGREGATION,
        "grads[i][: len(grad)].addmm_(grad, h.t())",
        "grads[i][: len(grad), :-1].addmm_(grad, h[:-1].t())",
    ),
    mutant("padding row trained", AGGREGATION, "grad_table[0] = 0.0", "pass"),
    mutant(
        "time left out of the gradient",
        FOLDED,
        "grad_logits = (grad_logits * scaling.factor)",
        "grad_logits = (grad_logits * 1)",
        "one_head",
    ),
    # Losses
    mutant(
        "focal gamma",
        LOSSES,
        "alpha: float = 0.25, gamma: float = 2.0",
        "alpha: float = 0.25, gamma: float = 1.5",
    ),
    mutant(
        "focal alpha",
        LOSSES,
        "alpha: float = 0.25, gamma: float = 2.0",
        "alpha: float = 0.75, gamma: float = 2.0",
    ),
    mutant(
        "focal weight without gradient",
        FUNCTIONAL,
        "torch.exp(gamma * log_not_p_BC) * log_p_BC",
        "torch.exp(gamma * log_not_p_BC).detach() * log_p_BC",
    ),
    mutant("asymmetric weight with gradient", FUNCTIONAL, "if constant_weight:", "if not constant_weight:"),
    mutant(
        "loss limits the logits",
        FUNCTIONAL,
        "log_p_BC, log_not_p_BC = log_probabilities(logits_BC)",
        "log_p_BC, log_not_p_BC = log_probabilities(logits_BC.clamp(-4.5, 4.5))",
    ),
    mutant("focal smoothing", FUNCTIONAL, "ONE_HOT_SMOOTHING = 1e-6", "ONE_HOT_SMOOTHING = 0.0"),
    mutant("label smoothing", FUNCTIONAL, "(1 - eps) + eps / logits_BC.shape[-1]", "(1 - eps)"),
    mutant("loss reduction", FUNCTIONAL, "return loss.sum() if reduction", "return loss.mean() if reduction"),
    mutant(
        "default reduction",
        LOSSES,
        'eps: float = 0.1, reduction: str = "mean"',
        'eps: float = 0.1, reduction: str = "sum"',
    ),
    mutant("asymmetric clip", FUNCTIONAL, "(1 - p_pos + clip)", "(1 - p_pos - clip)"),
    mutant("cyclical share", LOSSES, "max(self.epochs - 1, 1)", "self.epochs"),
]
