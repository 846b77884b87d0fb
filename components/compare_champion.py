"""Stage 8: compare the new model with the champion, and promote it only when asked to."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare_champion(
    events: dsl.Input[dsl.Dataset],
    scores: dsl.Input[dsl.Dataset],
    verdict: dsl.Input[dsl.Artifact],
    events_contract: dsl.Input[dsl.Artifact],
    sequences_contract: dsl.Input[dsl.Artifact],
    scores_contract: dsl.Input[dsl.Artifact],
    online: dsl.Input[dsl.Artifact],
    config: str,
    champion: str,
    promote: bool,
    comparison: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Score both models on the same orders; the champion stays unless the challenger holds its own.

    Args:
        events: the validated orders.
        scores: the scored run, with its model folder.
        verdict: the gate's verdict on the model.
        events_contract: the contract result of the events.
        sequences_contract: that of the sequences.
        scores_contract: that of the scores.
        online: the verdict of the replay online.
        config: run description: a shipped name, a path, or the YAML text itself.
        champion: folder with the champion's pointer file; empty = there is none.
        promote: put the challenger in use when every check passed.
        comparison: the checks and what they found, as JSON.
        report: the same for people, one page.
    """
    from tsa_model import promotion
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    metrics = promotion.compare_champion(
        events.path,
        scores.path,
        verdict.path,
        [events_contract.path, sequences_contract.path, scores_contract.path, online.path],
        RunConfig.load(config),
        champion,
        promote,
        comparison.path,
        report.path,
    )
    comparison.metadata.update(metadata(metrics))
