"""Every planted fault changes the tensors of some order of the demo, which has windows, lags and labels."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
from support.online import assert_same, iso

from tsa_model.batch import LABEL
from tsa_model.online.histories import Histories
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history
from tsa_model.online.proof.faults import Faults
from tsa_model.online.proof.replay import differing_tensor
from tsa_model.online.proof.verdict import CONTROLS
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders

N_SENT = 80


def test_each_fault_is_found(tmp_path) -> None:
    run = RunConfig.load("demo")
    frame = simulate_orders(run.simulation.changed(orders=2000)).sort_values(["order_time", "order_id"])
    built = SequenceStore.build(frame, run.dataset, tmp_path / "store")
    dataset = built.description
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = [{**row, "order_time": iso(row["order_time"])} for row in found]
    load_history(pa.Table.from_pylist(rows[:-N_SENT]), dataset, tmp_path / "h", late_days=1)
    histories = Histories(dataset, built.preprocessing, "dual", LmdbStore(tmp_path / "h"))
    model = SimpleNamespace(preprocessing_path=built.preprocessing)
    scorer = SimpleNamespace(histories=histories, description=dataset, model=model)
    faults = Faults(scorer, "dual").by_name
    assert tuple(faults) == CONTROLS
    missed = set(faults)
    for row in rows[-N_SENT:]:
        order = {name: value for name, value in row.items() if name != "label"}
        (clean,) = histories.read([order])
        target = next(iter(histories.look_up([clean])[1].values()))
        batch = built.batch([row["order_id"]])
        if row is rows[-N_SENT]:
            assert_same(histories.inputs.batch([target]), batch)  # without a fault
        wanted = {name: tensor.numpy() for name, tensor in batch.items() if name != LABEL}
        missed -= {name for name in missed if differing_tensor(faults[name](clean, target), wanted)}
    assert missed == set()
