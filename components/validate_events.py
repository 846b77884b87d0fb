"""Stage 1: refuse raw orders that break the contract, before anything is built on them."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_events(
    events: str,
    config: str,
    data_interval_end: str,
    validated: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    result: dsl.Output[dsl.Artifact],
    quarantine: dsl.Output[dsl.Dataset],
    champion: str = "",
) -> str:
    """Check the raw orders against the dataset description and write them as typed Parquet.

    Args:
        events: file or folder with the raw orders; empty = simulate the demo's.
        config: run description: a shipped name, a path, or the YAML text itself.
        data_interval_end: moment at which the data end, which moves the split; empty = dates as described.
        validated: the orders that later stages read, a folder with one Parquet file.
        report: the contract report, one page.
        result: the contract result as JSON.
        quarantine: the rows that were set aside, with reasons, as CSV; empty when there are none.
        champion: folder with the champion's pointer file, whose columns are kept for the comparison; empty =
            there is none.

    Returns:
        The run description with the dates of this run, as JSON, for all later stages.
    """
    from pathlib import Path

    from data_contracts import events as contract
    from tsa_model.progress import metadata
    from tsa_model.promotion import champion_dataset
    from tsa_model.settings.data_interval import interval_end
    from tsa_model.settings.run import RunConfig

    run = RunConfig.load(config).at(interval_end(data_interval_end))
    metrics = contract.validate_events(
        events,
        run,
        f"{validated.path}/events.parquet",
        report.path,
        result.path,
        quarantine.path,
        champion_dataset(champion, run.dataset),
    )
    Path(quarantine.path).touch()
    validated.metadata.update(metadata(metrics))
    return run.model_dump_json(exclude_unset=True)
