"""The faults `mutants.py` puts into the shipped code, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ORDERS = "network/fast/order_attention.py"
FEATURES = "network/fast/feature_attention.py"
CLASSIFIERS = "network/fast/classifiers.py"
ATTENTION = "network/fast/attention.py"
LAYERS = "network/fast/layers.py"
EXPERTS = "network/fast/experts.py"
AGGREGATION = "network/fast/aggregation.py"
PIECES = "network/fast/pieces.py"
BLOCKS = "network/blocks.py"
PARAMETERS = "network/parameters.py"
NETWORKS = "network/networks.py"
FUNCTIONAL = "losses/functional.py"
LOSSES = "losses/modules.py"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is wrong.
        file: below tsa_model.
        changes: (old, new) texts; every occurrence of old is replaced, and there must be one.
        subject: the small network it is tried on.
    """

    name: str
    file: str
    changes: list[tuple[str, str]] = field(default_factory=list)
    subject: str = "dual"

    def apply(self, package: Path) -> None:
        """Change the copy of the package.

        Raises:
            ValueError: the text to change is not there: the catalogue is older than the code.
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"mutant {self.name!r}: {self.file} does not contain {old!r}")
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def _m(name: str, file: str, old: str, new: str, subject: str = "dual") -> Mutant:
    return Mutant(name, file, [(old, new)], subject)


MASK = 'padding_B1T.masked_fill(key_padding_mask_BT, float("-inf"))'
NORM = "x_mE = computed_in(dtype, block.layer_norm_feature, torch.cat([cat_mD, num_mD], dim=1))"
NORM_EPS = """norm = block.layer_norm_feature
    x_mE = torch.cat([cat_mD, num_mD], dim=1).to(norm.weight.dtype)
    x_mE = functional.layer_norm(x_mE, norm.normalized_shape, norm.weight, norm.bias, 1e-6)"""
GATES = "(x_nE @ block.gate.w_gating).t()"
GATES_BF16 = """(
        (x_nE.bfloat16() @ block.gate.w_gating.bfloat16()).to(x_nE.dtype)
        if x_nE.dtype == torch.float32
        else x_nE @ block.gate.w_gating
    ).t()"""
FIRST_QUEUE = "queue_XBT = (first_1BT == expert_X11).cumsum(dim=1, dtype=torch.int32)"
HEADS = "(y.view(B, T, H, E // H).transpose(1, 2) for y in qkv.chunk(3, dim=-1))"
FOLDED_ONCE = """folded = None if torch.is_grad_enabled() else block.__dict__.get("_folded")
        self.folded = folded or _Folded.of(block)
        if not torch.is_grad_enabled():
            block.__dict__["_folded"] = self.folded"""
PADDED = "has_card_history_B = n_padded_B != ccid.mask.shape[1] - 2"
GATE = "raw_B2[:, 1] * has_card_history_B], dim=1)"

MUTANTS = [
    # Inputs and tokens
    _m("mask inverted", ATTENTION, MASK, MASK.replace("(key", "(~key")),
    _m("mask ignored", ATTENTION, "if key_padding_mask_BT is not None:", "if False:"),
    _m("attention mask ignored", ATTENTION, "if attn_mask_TT is not None:", "if False:"),
    _m("dummy token first", ORDERS, "token_n.view(B, L), (0, 1), value", "token_n.view(B, L), (1, 0), value"),
    _m("dummy token's time first", ORDERS, "(time_seq_BL1, (0, 0, 0, 1))", "(time_seq_BL1, (0, 0, 1, 0))"),
    _m("last order off by one", FEATURES, "x_num_BLF[:, -1, :, None]", "x_num_BLF[:, -2, :, None]"),
    _m(
        "categories shifted by one row",
        FEATURES,
        "block.embedding(x_cat_BLF[:, -1])",
        "block.embedding((x_cat_BLF[:, -1] - 1).clamp(min=0))",
    ),
    _m(
        "history's categories shifted by one row",
        AGGREGATION,
        "ids.t().reshape(-1)",
        "(ids.t().reshape(-1) - 1).clamp(min=0)",
    ),
    _m(
        "numerical rows shifted (feature attention)",
        FEATURES,
        "first = block.n_embedding - block.n_num_features + 1",
        "first = block.n_embedding - block.n_num_features",
    ),
    _m(
        "numerical rows shifted (order attention)",
        ORDERS,
        "first = block.n_embedding - block.n_num_features + 1",
        "first = block.n_embedding - block.n_num_features + 2",
    ),
    _m("padding told by categories alone", ORDERS, "| (x_num_nF != 0).any(dim=1)", ""),
    _m(
        "orders without a feature taken for padding",
        ORDERS,
        "blank_BL = blank_BL & key_padding_mask_BT[:, :-1] & (",
        "blank_BL = blank_BL & (",
    ),
    _m(
        "table not shared",
        NETWORKS,
        "self.order_attention_ccid = _order_attention(config, self.embedding,",
        "self.order_attention_ccid = _order_attention("
        "config, nn.Embedding(config.n_embedding + 2, D, padding_idx=0),",
    ),
    _m(
        "bias used in order attention",
        ORDERS,
        "torch.cat([cat_mD, num_mD], dim=1)",
        "torch.cat([cat_mD + block.emb_tbl_bias[0], num_mD], dim=1)",
    ),
    _m("bias dropped in feature attention", FEATURES, "if block.emb_tbl_bias is not None:", "if False:"),
    _m("engineered bias dropped", FEATURES, "if block.engineered_emb_tbl_bias is not None:", "if False:"),
    # Time
    _m(
        "time sign",
        ATTENTION,
        "(time_BT1 - time_BT1.transpose(1, 2))",
        "(time_BT1.transpose(1, 2) - time_BT1)",
    ),
    _m("time unit", ATTENTION, "TIME_SCALE_S = 1e6", "TIME_SCALE_S = 1e3"),
    _m("time factor added", ATTENTION, "torch.addcmul(bias, logits, factor)", "bias + logits + factor"),
    _m("time ignored", ORDERS, "if block.use_time_seq else None", "if False else None"),
    _m(
        "time factor in float32",
        ATTENTION,
        "factor = torch.exp((time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S)",
        "factor = torch.exp(((time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S).float()).to(dtype)",
    ),
    _m(
        "times above 9 million seconds capped",
        ORDERS,
        "functional.pad(time_seq_BL1,",
        "functional.pad(time_seq_BL1.clamp(max=9e6),",
    ),
    _m(
        "card's orders with the customer's times",
        CLASSIFIERS,
        "for x in ccid), attn_mask",
        "for x in (*ccid[:2], cid[2], ccid[3])), attn_mask",
    ),
    # Attention
    _m("scale dropped", ATTENTION, "(q * (E // H) ** -0.5) @", "q @"),
    _m(
        "scale of the folded projections",
        ATTENTION,
        "scale = len(b_q) ** -0.5",
        "scale = len(b_q) ** -0.25",
        "one_head",
    ),
    _m("scale of the read-out token", ATTENTION, ".view(B, H, d) * d**-0.5", ".view(B, H, d) * E**-0.5"),
    _m("query and key swapped", ATTENTION, "q, k, v = (y.view", "k, q, v = (y.view"),
    _m(
        "heads interleaved",
        ATTENTION,
        HEADS,
        "(y.view(B, T, E // H, H).permute(0, 3, 1, 2) for y in qkv.chunk(3, dim=-1))",
    ),
    _m(
        "key bias dropped",
        ATTENTION,
        "logits_BHT = logits_BHT + (q_BHd",
        "logits_BHT = logits_BHT + 0 * (q_BHd",
    ),
    _m("value bias dropped", ATTENTION, "* b_v.view(H, d)", "* 0"),
    _m(
        "value bias dropped where no gradient is asked",
        ATTENTION,
        "add_(folded.b_output + folded.b_value)",
        "add_(folded.b_output)",
        "one_head",
    ),
    _m(
        "folded key bias dropped",
        ATTENTION,
        "w_key_bias=(b_k @ w_q) * scale",
        "w_key_bias=(b_k @ w_q) * 0",
        "one_head",
    ),
    _m(
        "folded projections remembered between calls",
        ATTENTION,
        "self.folded = _Folded.of(block)",
        FOLDED_ONCE,
        "one_head",
    ),
    # Layers
    _m(
        "pre-norm for post-norm",
        LAYERS,
        "layer.layer_norm1(add_attention(layer, tokens, scalings))",
        "add_attention(layer, tokens, scalings, layer.layer_norm1)",
    ),
    _m(
        "post-norm for pre-norm",
        LAYERS,
        "add_attention(layer, tokens, scalings, layer.layer_norm1)",
        "layer.layer_norm1(add_attention(layer, tokens, scalings))",
    ),
    _m(
        "layer norms swapped",
        LAYERS,
        "layer.layer_norm2(add_up(",
        "layer.layer_norm1(add_up(",
    ),
    _m(
        "residual dropped in the last layer",
        LAYERS,
        "return x_BD + layer.dropout2(y_BD)",
        "return layer.dropout2(y_BD)",
    ),
    _m("layer norm eps", ORDERS, NORM, NORM_EPS),
    _m(
        "layer norm eps in both computations",
        BLOCKS,
        "self.layer_norm1 = nn.LayerNorm(dim)",
        "self.layer_norm1 = nn.LayerNorm(dim, eps=1e-6)",
    ),
    _m(
        "last layer's second norm is its first",
        LAYERS,
        "layer.layer_norm2(x_BE + layer.dropout2(y_BE))",
        "layer.layer_norm1(x_BE + layer.dropout2(y_BE))",
    ),
    _m("a layer skipped", ORDERS, "for i, layer in enumerate(body):", "for i, layer in enumerate(body[1:]):"),
    _m(
        "a layer of feature attention skipped",
        FEATURES,
        "for i, layer in enumerate(body):",
        "for i, layer in enumerate(body[1:]):",
    ),
    _m("LeakyReLU slope", AGGREGATION, "NEGATIVE_SLOPE = 0.01", "NEGATIVE_SLOPE = 0.02"),
    _m("LeakyReLU slope of the plain encoder", PARAMETERS, "nn.LeakyReLU(0.01)", "nn.LeakyReLU(0.1)"),
    _m("ReLU for LeakyReLU", AGGREGATION, "functional.leaky_relu_(h, NEGATIVE_SLOPE)", "functional.relu_(h)"),
    # Mixture of experts
    _m("second expert dropped", EXPERTS, 'if policy == "none":', 'if policy in ("none", "all"):'),
    _m(
        "gates renormalised after capacity",
        EXPERTS,
        "return Choice(expert_2BT, gate_2BT, kept_2BT)",
        "return Choice(expert_2BT, gate_2BT / ((gate_2BT * kept_2BT).sum(dim=0) + 1e-9), kept_2BT)",
    ),
    _m("gates not normalised", EXPERTS, "gate_2BT / (gate_2BT.sum(dim=0) + 1e-9)", "gate_2BT"),
    _m("gate eps 1e-8", EXPERTS, "+ 1e-9)", "+ 1e-8)"),
    _m("gate eps 0", EXPERTS, "+ 1e-9)", "+ 0.0)"),
    _m("expert without ReLU", EXPERTS, "@ w1[expert]).relu_()", "@ w1[expert])"),
    Mutant(
        "capacity factors swapped in both computations",
        PARAMETERS,
        [
            ("self.capacity_factor_train = 1.25", "self.capacity_factor_train = 2.0"),
            ("self.capacity_factor_eval = 2.0", "self.capacity_factor_eval = 1.25"),
        ],
    ),
    _m(
        "least capacity in both computations",
        PARAMETERS,
        "MIN_EXPERT_CAPACITY = 4",
        "MIN_EXPERT_CAPACITY = 1",
    ),
    _m(
        "capacity off by one",
        EXPERTS,
        ".gather(0, first_1BT)[0] <= capacity",
        ".gather(0, first_1BT)[0] < capacity",
    ),
    _m(
        "slot order reversed",
        EXPERTS,
        FIRST_QUEUE,
        "queue_XBT = (first_1BT == expert_X11).flip(1).cumsum(dim=1, dtype=torch.int32).flip(1)",
    ),
    _m(
        "second choices do not queue behind the first",
        EXPERTS,
        ".cumsum(dim=1, dtype=torch.int32) + accepted_X1T",
        ".cumsum(dim=1, dtype=torch.int32)",
    ),
    _m("random policy's threshold", EXPERTS, "gate_2BT[1].detach() / 0.2", "gate_2BT[1].detach() / 0.25"),
    _m("draws of the first positions", EXPERTS, "draws[n_positions - T :]", "draws[:T]"),
    _m(
        "policies of training and evaluation swapped in both",
        PARAMETERS,
        "return self.second_policy_train if self.training else self.second_policy_eval",
        "return self.second_policy_eval if self.training else self.second_policy_train",
    ),
    _m(
        "no capacity in training in both",
        PARAMETERS,
        "return self.deterministic_eval and not self.training",
        "return self.deterministic_eval",
    ),
    _m("every part of a mixture added to the first tokens", LAYERS, "start += len(part)", "pass"),
    _m(
        "each half of a batch has a queue of its own",
        EXPERTS,
        "choose(block, gates_XBT, n_positions or gates_XBT.shape[2])",
        "Choice.cat([choose(block, g, n_positions or g.shape[2]) for g in gates_XBT.chunk(2, dim=1)])",
    ),
    # The dual network
    _m("gate columns swapped", CLASSIFIERS, "order_BE = gate_B2[:, :1] *", "order_BE = gate_B2[:, 1:] *"),
    _m(
        "gate renormalised",
        CLASSIFIERS,
        GATE,
        GATE + "\n    gate_B2 = gate_B2 / gate_B2.sum(dim=1, keepdim=True)",
    ),
    _m(
        "card gate read before the empty-card rule",
        CLASSIFIERS,
        "torch.where(gate_B2[:, 1] > network.gate_threshold)",
        "torch.where(raw_B2[:, 1] > network.gate_threshold)",
    ),
    _m(
        "customer's gate 1 where there is no card history",
        CLASSIFIERS,
        "torch.stack([raw_B2[:, 0], raw",
        "torch.stack([raw_B2[:, 0].where(has_card_history_B, 1.0), raw",
    ),
    _m("empty-card rule off by one", CLASSIFIERS, PADDED, PADDED.replace("- 2", "- 1")),
    _m("empty-card rule as an inequality", CLASSIFIERS, PADDED, PADDED.replace("!=", "<")),
    _m("empty-card rule ignored", CLASSIFIERS, "raw_B2[:, 1] * has_card_history_B", "raw_B2[:, 1]"),
    _m(
        "threshold ≥ for >",
        CLASSIFIERS,
        "gate_B2[:, 1] > network.gate_threshold",
        "gate_B2[:, 1] >= network.gate_threshold",
    ),
    _m(
        "threshold 0.06 in both computations",
        NETWORKS,
        "self.gate_threshold = config.gate_threshold",
        "self.gate_threshold = config.gate_threshold + 0.01",
    ),
    _m(
        "card reads the customer's history",
        CLASSIFIERS,
        "*(x.index_select(0, with_card) for x in ccid)",
        "*(x.index_select(0, with_card) for x in cid)",
    ),
    _m(
        "gate reads the histories swapped",
        CLASSIFIERS,
        "return gate(*both, attn_mask_TT).chunk(2)",
        "return gate(*both, attn_mask_TT).chunk(2)[::-1]",
    ),
    _m(
        "ensemble parts swapped",
        CLASSIFIERS,
        "torch.cat([combined_BE, feature_BD], dim=-1)",
        "torch.cat([feature_BD, combined_BE], dim=-1)",
    ),
    _m(
        "last layer norm dropped",
        CLASSIFIERS,
        "combined_BE = network.layer_norm(order_BE)",
        "combined_BE = order_BE",
    ),
    _m(
        "MLP branch without layer norm",
        CLASSIFIERS,
        "network.mlp_layer_norm(network.mlp(current))",
        "network.mlp(current)",
        "single",
    ),
    # Batches
    _m(
        "row order not restored",
        LAYERS,
        "torch.cat(attended).index_select(0, back)",
        "torch.cat(attended)",
    ),
    _m("rows cut to the shortest", PIECES, "first_B[index[0]]", "first_B[index[-1]]"),
    _m(
        "full histories lose their oldest order",
        PIECES,
        "Rows(index, start) for",
        "Rows(index, max(start, 1)) for",
    ),
    _m(
        "wrong in batches of more than 300",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE) * (1 + 1e-5 * (len(order_BE) > 300))",
    ),
    # Precision and randomness
    _m(
        "float16 somewhere",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE.half().to(order_BE.dtype))",
    ),
    _m(
        "float32 inside float64",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE.float().to(order_BE.dtype))",
    ),
    _m("bfloat16 in the gate, in float32 only", EXPERTS, GATES, GATES_BF16),
    _m(
        "dropout left on",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "functional.dropout(weights_BHT, block.dropout, True)",
    ),
    _m(
        "all rows lose the same",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "weights_BHT * functional.dropout(torch.ones_like(weights_BHT[:1]), block.dropout, block.training)",
    ),
    _m(
        "dropout left out",
        LAYERS,
        "layer_norm2(add_up(tokens.x_nE, layer.dropout2,",
        "layer_norm2(add_up(tokens.x_nE, nn.Identity(),",
    ),
    _m(
        "dropout at half the rate",
        ATTENTION,
        "functional.dropout(weights_BHT, block.dropout, block.training)",
        "functional.dropout(weights_BHT, block.dropout / 2, block.training)",
    ),
    # Gradients
    _m(
        "gate gradient halved",
        EXPERTS,
        "torch.linalg.vecdot(grad_h, h)",
        "0.5 * torch.linalg.vecdot(grad_h, h)",
    ),
    _m(
        "gate gradient cut",
        EXPERTS,
        "gate_2BT = gates_XBT.gather(0, expert_2BT)",
        "gate_2BT = gates_XBT.detach().gather(0, expert_2BT)",
    ),
    _m(
        "gate's normalisation without gradient",
        EXPERTS,
        "gate_2BT / (gate_2BT.sum(dim=0) + 1e-9)",
        "gate_2BT / (gate_2BT.sum(dim=0).detach() + 1e-9)",
    ),
    _m(
        "bfloat16 in the experts' gradient, in float32 only",
        EXPERTS,
        "grad_y = grad_nE.index_select(0, token)",
        "grad_y = grad_nE.index_select(0, token)\n"
        "            grad_y = grad_y.bfloat16().float() if grad_y.dtype == torch.float32 else grad_y",
    ),
    _m("table's gradient of the last piece alone", AGGREGATION, "grad_table += torch", "grad_table = torch"),
    _m(
        "encoder bias without gradient",
        AGGREGATION,
        "grads[i][: len(grad)].addmm_(grad, h.t())",
        "grads[i][: len(grad), :-1].addmm_(grad, h[:-1].t())",
    ),
    _m("padding row trained", AGGREGATION, "len(table), 0, False", "len(table), -1, False"),
    _m(
        "time left out of the gradient",
        ATTENTION,
        "grad_logits = (grad_logits * ctx.scaling.factor)",
        "grad_logits = (grad_logits * 1)",
        "one_head",
    ),
    # Losses
    _m(
        "focal gamma",
        LOSSES,
        "alpha: float = 0.25, gamma: float = 2.0",
        "alpha: float = 0.25, gamma: float = 1.5",
    ),
    _m(
        "focal alpha",
        LOSSES,
        "alpha: float = 0.25, gamma: float = 2.0",
        "alpha: float = 0.75, gamma: float = 2.0",
    ),
    _m(
        "focal weight without gradient",
        FUNCTIONAL,
        "torch.exp(gamma * log_not_p_BC) * log_p_BC",
        "torch.exp(gamma * log_not_p_BC).detach() * log_p_BC",
    ),
    _m("asymmetric weight with gradient", FUNCTIONAL, "if constant_weight:", "if not constant_weight:"),
    _m(
        "loss limits the logits",
        FUNCTIONAL,
        "log_p_BC, log_not_p_BC = log_probabilities(logits_BC)",
        "log_p_BC, log_not_p_BC = log_probabilities(logits_BC.clamp(-4.5, 4.5))",
    ),
    _m("focal smoothing", FUNCTIONAL, "ONE_HOT_SMOOTHING = 1e-6", "ONE_HOT_SMOOTHING = 0.0"),
    _m("label smoothing", FUNCTIONAL, "(1 - eps) + eps / logits_BC.shape[-1]", "(1 - eps)"),
    _m("loss reduction", FUNCTIONAL, "return loss.sum() if reduction", "return loss.mean() if reduction"),
    _m(
        "default reduction",
        LOSSES,
        'eps: float = 0.1, reduction: str = "mean"',
        'eps: float = 0.1, reduction: str = "sum"',
    ),
    _m("asymmetric clip", FUNCTIONAL, "(1 - p_pos + clip)", "(1 - p_pos - clip)"),
    _m("cyclical share", LOSSES, "max(self.epochs - 1, 1)", "self.epochs"),
]
