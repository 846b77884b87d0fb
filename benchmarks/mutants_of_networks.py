"""Faults in mixtures of experts, the dual network and batches."""

from __future__ import annotations

from mutant import CLASSIFIERS, EXPERTS, LAYERS, NETWORKS, PARAMETERS, PIECES, Mutant, mutant

FIRST_QUEUE = "queue_XBT = ((first_1BT == expert_X11) & kept_2BT[0]).cumsum(dim=1, dtype=torch.int32)"
PADDED = "has_card_history_B = n_padded_B != ccid.mask.shape[1] - 2"
GATE = "raw_B2[:, 1] * has_card_history_B], dim=1)"

NETWORK_MUTANTS: list[Mutant] = [
    # Wide head
    mutant("wide head dropped", CLASSIFIERS, "if network.wide is None:", "if True:", "one_head"),
    mutant(
        "wide head reads the first order",
        CLASSIFIERS,
        "current = x_num_BLF[:, -1]",
        "current = x_num_BLF[:, 0]",
        "one_head",
    ),
    mutant(
        "wide head in place of the classifier",
        CLASSIFIERS,
        "return network.wide(current).add(logits)",
        "return network.wide(current)",
        "one_head",
    ),
    mutant(
        "wide head halved",
        CLASSIFIERS,
        "return network.wide(current).add(logits)",
        "return (0.5 * network.wide(current)).add(logits)",
        "one_head",
    ),
    mutant(
        "intervals without an end",
        CLASSIFIERS,
        "shares_BFK.clamp_(0.0, 1.0)",
        "shares_BFK.clamp_(0.0)",
        "one_head",
    ),
    mutant("intervals shifted by one", CLASSIFIERS, "- edges[:-1]).div_", "- edges[1:]).div_", "one_head"),
    # Mixture of experts
    mutant("second expert dropped", EXPERTS, 'if policy == "none":', 'if policy in ("none", "all"):'),
    mutant(
        "gates renormalised after capacity",
        EXPERTS,
        "return Choice(expert_2BT, gate_2BT, kept_2BT)",
        "return Choice(expert_2BT, gate_2BT / ((gate_2BT * kept_2BT).sum(dim=0) + 1e-9), kept_2BT)",
    ),
    mutant("gates not normalised", EXPERTS, "gate_2BT / (gate_2BT.sum(dim=0) + 1e-9)", "gate_2BT"),
    mutant("gate eps 1e-8", EXPERTS, "+ 1e-9)", "+ 1e-8)"),
    mutant("gate eps 0", EXPERTS, "+ 1e-9)", "+ 0.0)"),
    mutant("expert without ReLU", EXPERTS, "w1[expert]).relu_()", "w1[expert])"),
    Mutant(
        "capacity factors swapped in both computations",
        PARAMETERS,
        [
            ("self.capacity_factor_train = 1.25", "self.capacity_factor_train = 2.0"),
            ("self.capacity_factor_eval = 2.0", "self.capacity_factor_eval = 1.25"),
        ],
    ),
    mutant(
        "least capacity in both computations",
        PARAMETERS,
        "MIN_EXPERT_CAPACITY = 4",
        "MIN_EXPERT_CAPACITY = 1",
    ),
    mutant(
        "capacity off by one",
        EXPERTS,
        ".gather(0, first_1BT)[0] <= capacity",
        ".gather(0, first_1BT)[0] < capacity",
    ),
    mutant(
        "slot order reversed",
        EXPERTS,
        FIRST_QUEUE,
        "queue_XBT = (first_1BT == expert_X11).flip(1).cumsum(dim=1, dtype=torch.int32).flip(1)",
    ),
    mutant(
        "second choices do not queue behind the first",
        EXPERTS,
        ".cumsum(dim=1, dtype=torch.int32) + accepted_X1T",
        ".cumsum(dim=1, dtype=torch.int32)",
    ),
    mutant("random policy's threshold", EXPERTS, "gate_2BT[1].detach() / 0.2", "gate_2BT[1].detach() / 0.25"),
    mutant("draws of the first positions", EXPERTS, "draws[n_positions - T :]", "draws[:T]"),
    mutant(
        "policies of training and evaluation swapped in both",
        PARAMETERS,
        "return self.second_policy_train if self.training else self.second_policy_eval",
        "return self.second_policy_eval if self.training else self.second_policy_train",
    ),
    mutant(
        "no capacity in training in both",
        PARAMETERS,
        "return self.deterministic_eval and not self.training",
        "return self.deterministic_eval",
    ),
    mutant("every part of a mixture added to the first tokens", LAYERS, "start += len(part)", "pass"),
    mutant(
        "each half of a batch has a queue of its own",
        EXPERTS,
        "choose(block, gates_XBT, n_positions or gates_XBT.shape[2])",
        "Choice.cat([choose(block, g, n_positions or g.shape[2]) for g in gates_XBT.chunk(2, dim=1)])",
    ),
    # The dual network
    mutant("gate columns swapped", CLASSIFIERS, "order_BE = gate_B2[:, :1] *", "order_BE = gate_B2[:, 1:] *"),
    mutant(
        "gate renormalised",
        CLASSIFIERS,
        GATE,
        GATE + "\n    gate_B2 = gate_B2 / gate_B2.sum(dim=1, keepdim=True)",
    ),
    mutant(
        "card gate read before the empty-card rule",
        CLASSIFIERS,
        "torch.where(gate_B2[:, 1] > network.gate_threshold)",
        "torch.where(raw_B2[:, 1] > network.gate_threshold)",
    ),
    mutant(
        "customer's gate 1 where there is no card history",
        CLASSIFIERS,
        "torch.stack([raw_B2[:, 0], raw",
        "torch.stack([raw_B2[:, 0].where(has_card_history_B, 1.0), raw",
    ),
    mutant("empty-card rule off by one", CLASSIFIERS, PADDED, PADDED.replace("- 2", "- 1")),
    mutant("empty-card rule as an inequality", CLASSIFIERS, PADDED, PADDED.replace("!=", "<")),
    mutant("empty-card rule ignored", CLASSIFIERS, "raw_B2[:, 1] * has_card_history_B", "raw_B2[:, 1]"),
    mutant(
        "threshold ≥ for >",
        CLASSIFIERS,
        "gate_B2[:, 1] > network.gate_threshold",
        "gate_B2[:, 1] >= network.gate_threshold",
    ),
    mutant(
        "threshold 0.06 in both computations",
        NETWORKS,
        "self.gate_threshold = config.gate_threshold",
        "self.gate_threshold = config.gate_threshold + 0.01",
    ),
    mutant(
        "card reads the customer's history",
        CLASSIFIERS,
        "*(x.index_select(0, with_card) for x in ccid)",
        "*(x.index_select(0, with_card) for x in cid)",
    ),
    mutant(
        "gate reads the histories swapped",
        CLASSIFIERS,
        "return gate(*both, attn_mask_TT).chunk(2)",
        "return gate(*both, attn_mask_TT).chunk(2)[::-1]",
    ),
    mutant(
        "ensemble parts swapped",
        CLASSIFIERS,
        "torch.cat([combined_BE, feature_BD], dim=-1)",
        "torch.cat([feature_BD, combined_BE], dim=-1)",
    ),
    mutant(
        "last layer norm dropped",
        CLASSIFIERS,
        "combined_BE = network.layer_norm(order_BE)",
        "combined_BE = order_BE",
    ),
    mutant(
        "MLP branch without layer norm",
        CLASSIFIERS,
        "network.mlp_layer_norm(network.mlp(current))",
        "network.mlp(current)",
        "single",
    ),
    # Batches
    mutant(
        "row order not restored",
        LAYERS,
        "torch.cat(attended).index_select(0, back)",
        "torch.cat(attended)",
    ),
    mutant("rows cut to the shortest", PIECES, "first_B[index[0]]", "first_B[index[-1]]"),
    mutant(
        "full histories lose their oldest order",
        PIECES,
        "Rows(index, start) for",
        "Rows(index, max(start, 1)) for",
    ),
    mutant(
        "wrong in batches of more than 300",
        CLASSIFIERS,
        "network.layer_norm(order_BE)",
        "network.layer_norm(order_BE) * (1 + 1e-5 * (len(order_BE) > 300))",
    ),
]
