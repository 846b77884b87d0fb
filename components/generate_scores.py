"""Stage 6: score every order of the test period once, and hold the score files to their contract."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generate_scores(
    store: dsl.Input[dsl.Dataset],
    onnx: dsl.Input[dsl.Model],
    events: dsl.Input[dsl.Dataset],
    config: str,
    scores: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    roc: dsl.Output[dsl.ClassificationMetrics],
    contract_report: dsl.Output[dsl.HTML],
    contract_result: dsl.Output[dsl.Artifact],
) -> None:
    """Score with ONNX Runtime and write the score files, joined by order id.

    Args:
        store: the sequence store.
        onnx: the ONNX folder.
        events: the validated orders, from which slices are read and some scores are computed again.
        config: run description: a shipped name, a path, or the YAML text itself.
        scores: the folder with the score files.
        report: figures and curves of the scored period, one page.
        roc: the test period's ROC curve, at most 200 finite points; shown on the run page.
        contract_report: the score contract's report, one page.
        contract_result: the score contract's result as JSON.
    """
    from data_contracts import scores as contract
    from tsa_model import scoring
    from tsa_model.files import write_json
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    run = RunConfig.load(config)
    metrics = scoring.generate_scores(store.path, onnx.path, run, scores.path, report.path, events.path)
    checked = contract.validate_scores(
        scores.path,
        store.path,
        run,
        contract_report.path,
        contract_result.path,
        events.path,
        report.path,
    )
    metrics.pop("slices", None)  # hundreds of figures; they are in metrics.json
    curve = metrics.pop("roc", {"false_positive_rate": [], "true_positive_rate": [], "threshold": []})
    write_json(roc.path, curve)
    roc.log_roc_curve(curve["false_positive_rate"], curve["true_positive_rate"], curve["threshold"])
    scores.metadata.update(metadata({**metrics, "contract": checked["summary"]}))
