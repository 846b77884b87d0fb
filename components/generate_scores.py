"""Stage 6: score every order of the test period once, with the exported model."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generate_scores(
    store: dsl.Input[dsl.Dataset],
    onnx: dsl.Input[dsl.Model],
    config: str,
    scores: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Score with ONNX Runtime and write the score files, joined by order id.

    Args:
        store: the sequence store.
        onnx: the ONNX folder.
        config: run description: a shipped name, a path, or the YAML text itself.
        scores: the folder with the score files.
        report: figures and curves of the scored period, one page.
    """
    from tsa_model import scoring
    from tsa_model.progress import metadata
    from tsa_model.run_config import RunConfig

    metrics = scoring.generate_scores(store.path, onnx.path, RunConfig.load(config), scores.path, report.path)
    scores.metadata.update(metadata(metrics))
