"""Stage 7: an order that is scored when it arrives must get the score that the batch gave it."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_online(
    events: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Dataset],
    scores: dsl.Input[dsl.Dataset],
    config: str,
    result: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Replay the test period order by order, by the library and by the server; raise when anything differs.

    Args:
        events: the validated orders.
        store: the sequence store, whose tensors must come out.
        scores: the scored run, with its model folder.
        config: run description: a shipped name, a path, or the YAML text itself.
        result: what was compared and found, as JSON; a promotion demands it.
        report: the same for people, one page.
    """
    from tsa_model.online import proof
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    metrics = proof.check_online(
        events.path, store.path, scores.path, RunConfig.load(config), result.path, report.path
    )
    result.metadata.update(metadata(metrics))
