"""Class probabilities of a trained module, saved with the order ids they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch
from torch import Tensor

from tsa_model.files import atomic_file
from tsa_model.sequences import SequenceStore
from tsa_model.training.feeding import EvaluationBatches, drop_duplicates
from tsa_model.training.modules import TSAModule


def save_predictions(
    trainer: pl.Trainer, module: TSAModule, store: SequenceStore, period: str, path: str | Path
) -> int:
    """Predict the labelled orders of a period and save them as Parquet, each order once.

    Args:
        trainer: of any number of processes; the first one writes.
        module: the trained module.
        store: the sequence store.
        period: train, vali, cali or test.
        path: the file; columns order_id, label, and probability_<class> in float64, in time order.

    Returns:
        Number of rows.
    """
    rows = store.targets(period)
    batches = EvaluationBatches(
        store,
        module.sequences,
        rows,
        module.training_config.batch_size,
        trainer.global_rank,
        trainer.world_size,
    )
    predicted = cast(list[dict[str, Tensor]], trainer.predict(module, batches))
    columns = (torch.cat([batch[name] for batch in predicted]) for name in ("row", "probabilities"))
    row, probabilities = drop_duplicates(*(module.gather(column.to(module.device)) for column in columns))
    if trainer.is_global_zero:
        table = {"order_id": store.ids_of(row.cpu().numpy()), "label": store.labels(period)}
        table |= {f"probability_{c}": p.cpu().numpy() for c, p in enumerate(probabilities.unbind(dim=1))}
        with atomic_file(path) as temporary:
            pq.write_table(pa.table(table), temporary)
    trainer.strategy.barrier("predictions saved")
    return len(row)
