"""Stage 2: turn orders into one history per order, for every key."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def build_sequences(
    events: dsl.Input[dsl.Dataset],
    config: str,
    store: dsl.Output[dsl.Dataset],
) -> None:
    """Build the sequence store: each order once per key ordering, histories as slices of it.

    Args:
        events: the validated orders.
        config: run description: a shipped name, a path, or the YAML text itself.
        store: the sequence store, a folder.
    """
    from tsa_model import sequences
    from tsa_model.progress import metadata
    from tsa_model.run_config import RunConfig

    metrics = sequences.build_sequences(events.path, RunConfig.load(config), store.path)
    store.metadata.update(metadata(metrics))
