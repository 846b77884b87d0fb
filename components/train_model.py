"""Stage 3: train the network on the training period, stop early on the validation period."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_model(
    store: dsl.Input[dsl.Dataset],
    config: str,
    seed: int,
    max_epochs: int,
    model: dsl.Output[dsl.Model],
    logs: dsl.Output[dsl.Artifact],
) -> None:
    """Train and keep the weights of the best validation epoch.

    It trains inside this stage, or on several nodes where the run description has a `train_job` section.

    Args:
        store: the sequence store.
        config: run description: a shipped name, a path, or the YAML text itself.
        seed: random seed of the training; -1 = as in the run description.
        max_epochs: upper limit of epochs; 0 = as in the run description.
        model: the model folder: weights, configuration, digests.
        logs: learning curves and resume points.
    """
    from train_job import stage as training
    from tsa_model.progress import metadata
    from tsa_model.settings.run import RunConfig

    metrics = training.train_model(
        store.path,
        RunConfig.load(config),
        model.path,
        logs.path,
        seed=seed if seed >= 0 else None,
        max_epochs=max_epochs or None,
    )
    model.metadata.update(metadata(metrics))
