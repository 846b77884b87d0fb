"""Stage 5: write the gated model as ONNX and check that ONNX Runtime computes the same."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export_onnx(
    store: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    verdict: dsl.Input[dsl.Artifact],
    config: str,
    onnx: dsl.Output[dsl.Model],
) -> None:
    """Export the model the gate let pass; raise when ONNX Runtime's logits differ.

    Args:
        store: the sequence store whose real orders the parity check uses.
        model: the model folder.
        verdict: the gate's verdict on exactly this model.
        config: run description: a shipped name, a path, or the YAML text itself.
        onnx: the ONNX folder.
    """
    from tsa_model import export
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    metrics = export.export_onnx(store.path, model.path, verdict.path, RunConfig.load(config), onnx.path)
    onnx.metadata.update(metadata(metrics))
