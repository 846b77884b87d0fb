"""Stage 4: the gate. The trained weights must compute what the reference computes."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_equivalence(
    store: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    config: str,
    verdict: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Compare the network that will be exported with the reference; raise when they differ.

    Args:
        store: the sequence store whose real orders both networks score.
        model: the model folder.
        config: run description: a shipped name, a path, or the YAML text itself.
        verdict: what was compared and found, as JSON; the export demands it.
        report: the same for people, one page.
    """
    from tsa_model import equivalence
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    metrics = equivalence.check_equivalence(
        store.path, model.path, RunConfig.load(config), verdict.path, report.path
    )
    verdict.metadata.update(metadata(metrics))
