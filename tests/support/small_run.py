"""A run description small enough to go through every stage within seconds."""

from support.plain_demo import plain_demo

from tsa_model.settings.run import RunConfig


def small_run() -> RunConfig:
    """The demo with a tenth of the orders, a tiny network and two epochs."""
    run = plain_demo()
    run["simulation"] |= {"orders": 6000}
    run["model"] |= {
        "dim_embedding_table": 8,
        "dim_attn_feedforward": 16,
        "n_layers_order": 1,
        "n_layers_feature": 1,
        "num_experts": 2,
    }
    run["reasons"] = {"most_alerts": 5}
    run["training"] |= {"max_epochs": 2, "batch_size": 256}
    return RunConfig.load(run)
