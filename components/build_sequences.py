"""Stage 2: turn orders into one history per order, for every key, and hold them to their contract."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def build_sequences(
    events: dsl.Input[dsl.Dataset],
    config: str,
    store: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    result: dsl.Output[dsl.Artifact],
) -> None:
    """Build the sequence store: each order once per key ordering, histories as slices of it.

    Args:
        events: the validated orders.
        config: run description: a shipped name, a path, or the YAML text itself.
        store: the sequence store, a folder.
        report: the sequence contract's report, one page.
        result: the sequence contract's result as JSON.
    """
    from data_contracts import sequences as contract
    from tsa_model import sequences
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    run = RunConfig.load(config)
    metrics = sequences.build_sequences(events.path, run, store.path)
    checked = contract.validate_sequences(store.path, run, report.path, result.path)
    store.metadata.update(metadata({**metrics, "contract": checked["summary"]}))
