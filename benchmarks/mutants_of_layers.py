"""Faults in tokens, time, attention and layers."""

from __future__ import annotations

from mutant import (
    AGGREGATION,
    ATTENTION,
    BLOCKS,
    CLASSIFIERS,
    FEATURES,
    LAYERS,
    NETWORKS,
    ORDERS,
    PARAMETERS,
    PREPARED,
    Mutant,
    mutant,
)

MASK = 'padding_B1T.masked_fill(key_padding_mask_BT, float("-inf"))'
NORM = "x_mE = computed_in(dtype, block.layer_norm_feature, torch.cat([cat_mD, num_mD], dim=1))"
NORM_EPS = """norm = block.layer_norm_feature
    x_mE = torch.cat([cat_mD, num_mD], dim=1).to(norm.weight.dtype)
    x_mE = functional.layer_norm(x_mE, norm.normalized_shape, norm.weight, norm.bias, 1e-6)"""
HEADS = "(y.view(B, T, H, E // H).transpose(1, 2) for y in qkv.chunk(3, dim=-1))"

LAYER_MUTANTS: list[Mutant] = [
    # Inputs and tokens
    mutant("mask inverted", ATTENTION, MASK, MASK.replace("(key", "(~key")),
    mutant("mask ignored", ATTENTION, "if key_padding_mask_BT is not None:", "if False:"),
    mutant("attention mask ignored", ATTENTION, "if attn_mask_TT is not None:", "if False:"),
    mutant(
        "dummy token first", ORDERS, "token_n.view(B, L), (0, 1), value", "token_n.view(B, L), (1, 0), value"
    ),
    mutant(
        "dummy token's time first", ORDERS, "(time_seq_BL1, (0, 0, 0, 1))", "(time_seq_BL1, (0, 0, 1, 0))"
    ),
    mutant("last order off by one", FEATURES, "x_num_BLF[:, -1, :, None]", "x_num_BLF[:, -2, :, None]"),
    mutant(
        "categories shifted by one row",
        FEATURES,
        "block.embedding(x_cat_BLF[:, -1])",
        "block.embedding((x_cat_BLF[:, -1] - 1).clamp(min=0))",
    ),
    mutant(
        "history's categories shifted by one row",
        AGGREGATION,
        "ids.t().reshape(-1)",
        "(ids.t().reshape(-1) - 1).clamp(min=0)",
    ),
    mutant(
        "numerical rows shifted (feature attention)",
        FEATURES,
        "first = block.n_embedding - block.n_num_features + 1",
        "first = block.n_embedding - block.n_num_features",
    ),
    mutant(
        "numerical rows shifted (order attention)",
        ORDERS,
        "first = block.n_embedding - block.n_num_features + 1",
        "first = block.n_embedding - block.n_num_features + 2",
    ),
    mutant("padding told by categories alone", ORDERS, "| (x_num_nF != 0).any(dim=1)", ""),
    mutant(
        "orders without a feature taken for padding",
        ORDERS,
        "blank_BL = blank_BL & key_padding_mask_BT[:, :-1] & (",
        "blank_BL = blank_BL & (",
    ),
    mutant(
        "table not shared",
        NETWORKS,
        "self.order_attention_ccid = make_order_attention(config, self.embedding,",
        "self.order_attention_ccid = make_order_attention("
        "config, nn.Embedding(config.n_embedding + 2, D, padding_idx=0),",
    ),
    mutant(
        "bias used in order attention",
        ORDERS,
        "torch.cat([cat_mD, num_mD], dim=1)",
        "torch.cat([cat_mD + block.emb_tbl_bias[0], num_mD], dim=1)",
    ),
    mutant("bias dropped in feature attention", FEATURES, "if block.emb_tbl_bias is not None:", "if False:"),
    mutant("engineered bias dropped", FEATURES, "if block.engineered_emb_tbl_bias is not None:", "if False:"),
    # Time
    mutant(
        "time sign",
        ATTENTION,
        "(time_BT1 - time_BT1.transpose(1, 2))",
        "(time_BT1.transpose(1, 2) - time_BT1)",
    ),
    mutant("time unit", ATTENTION, "TIME_SCALE_S = 1e6", "TIME_SCALE_S = 1e3"),
    mutant("time factor added", ATTENTION, "torch.addcmul(bias, logits, factor)", "bias + logits + factor"),
    mutant("time ignored", ORDERS, "if block.use_time_seq else None", "if False else None"),
    mutant(
        "time factor in float32",
        ATTENTION,
        "factor = torch.exp((time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S)",
        "factor = torch.exp(((time_BT1 - time_BT1.transpose(1, 2)) / TIME_SCALE_S).float()).to(dtype)",
    ),
    mutant(
        "times above 9 million seconds capped",
        ORDERS,
        "functional.pad(time_seq_BL1,",
        "functional.pad(time_seq_BL1.clamp(max=9e6),",
    ),
    mutant(
        "card's orders with the customer's times",
        CLASSIFIERS,
        "for x in ccid), attn_mask",
        "for x in (*ccid[:2], cid[2], ccid[3])), attn_mask",
    ),
    # Attention
    mutant("scale dropped", ATTENTION, "(q * (E // H) ** -0.5) @", "q @"),
    mutant(
        "scale of the folded projections",
        ATTENTION,
        "scale = len(b_q) ** -0.5",
        "scale = len(b_q) ** -0.25",
        "one_head",
    ),
    mutant("scale of the read-out token", ATTENTION, ".view(B, H, d) * d**-0.5", ".view(B, H, d) * E**-0.5"),
    mutant("query and key swapped", ATTENTION, "q, k, v = (y.view", "k, q, v = (y.view"),
    mutant(
        "heads interleaved",
        ATTENTION,
        HEADS,
        "(y.view(B, T, E // H, H).permute(0, 3, 1, 2) for y in qkv.chunk(3, dim=-1))",
    ),
    mutant(
        "key bias dropped",
        ATTENTION,
        "logits_BHT = logits_BHT + (q_BHd",
        "logits_BHT = logits_BHT + 0 * (q_BHd",
    ),
    mutant("value bias dropped", ATTENTION, "* b_v.view(H, d)", "* 0"),
    mutant(
        "value bias dropped where no gradient is asked",
        ATTENTION,
        "add_(folded.b_output + folded.b_value)",
        "add_(folded.b_output)",
        "one_head",
    ),
    mutant(
        "folded key bias dropped",
        ATTENTION,
        "w_key_bias=(b_k @ w_q) * scale",
        "w_key_bias=(b_k @ w_q) * 0",
        "one_head",
    ),
    Mutant(
        "folded projections remembered between calls",
        PREPARED,
        [
            ("a[0] is b[0] and a[1:] == b[1:]", "a[0] is b[0]"),
            ("_kept.clear()", "pass"),
        ],
        "one_head",
    ),
    # Layers
    mutant(
        "pre-norm for post-norm",
        LAYERS,
        "layer.layer_norm1(add_attention(layer, tokens, scalings))",
        "add_attention(layer, tokens, scalings, layer.layer_norm1)",
    ),
    mutant(
        "post-norm for pre-norm",
        LAYERS,
        "add_attention(layer, tokens, scalings, layer.layer_norm1)",
        "layer.layer_norm1(add_attention(layer, tokens, scalings))",
    ),
    mutant(
        "layer norms swapped",
        LAYERS,
        "layer.layer_norm2(added_nE)",
        "layer.layer_norm1(added_nE)",
    ),
    mutant(
        "residual dropped in the last layer",
        LAYERS,
        "return x_BD + layer.dropout2(y_BD)",
        "return layer.dropout2(y_BD)",
    ),
    mutant("layer norm eps", ORDERS, NORM, NORM_EPS),
    mutant(
        "layer norm eps in both computations",
        BLOCKS,
        "self.layer_norm1 = nn.LayerNorm(dim)",
        "self.layer_norm1 = nn.LayerNorm(dim, eps=1e-6)",
    ),
    mutant(
        "last layer's second norm is its first",
        LAYERS,
        "layer.layer_norm2(x_BE + layer.dropout2(y_BE))",
        "layer.layer_norm1(x_BE + layer.dropout2(y_BE))",
    ),
    mutant(
        "a layer skipped", ORDERS, "for i, layer in enumerate(body):", "for i, layer in enumerate(body[1:]):"
    ),
    mutant(
        "a layer of feature attention skipped",
        FEATURES,
        "for i, layer in enumerate(body):",
        "for i, layer in enumerate(body[1:]):",
    ),
    mutant("LeakyReLU slope", AGGREGATION, "NEGATIVE_SLOPE = 0.01", "NEGATIVE_SLOPE = 0.02"),
    mutant("LeakyReLU slope of the plain encoder", PARAMETERS, "nn.LeakyReLU(0.01)", "nn.LeakyReLU(0.1)"),
    mutant(
        "ReLU for LeakyReLU", AGGREGATION, "functional.leaky_relu_(h, NEGATIVE_SLOPE)", "functional.relu_(h)"
    ),
]
