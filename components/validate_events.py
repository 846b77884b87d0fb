"""Stage 1: refuse raw orders that break the contract, before anything is built on them."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_events(
    events: str,
    config: str,
    validated: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    result: dsl.Output[dsl.Artifact],
    quarantine: dsl.Output[dsl.Dataset],
) -> None:
    """Check the raw orders against the dataset description and write them as typed Parquet.

    Args:
        events: file or folder with the raw orders; empty = simulate the demo's.
        config: run description: a shipped name, a path, or the YAML text itself.
        validated: the orders that later stages read, a folder with one Parquet file.
        report: the contract report, one page.
        result: the contract result as JSON.
        quarantine: the rows that were set aside, with reasons, as CSV; empty when there are none.
    """
    from pathlib import Path

    from data_contracts import events as contract
    from tsa_model.progress import metadata
    from tsa_model.run_config import RunConfig

    metrics = contract.validate_events(
        events,
        RunConfig.load(config),
        f"{validated.path}/events.parquet",
        report.path,
        result.path,
        quarantine.path,
    )
    Path(quarantine.path).touch()
    validated.metadata.update(metadata(metrics))
