"""An ensemble as one ONNX file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.batches import tiny_config, tiny_network
from support.exported import export, session_of

from tsa_model.export.graph import dimension_names
from tsa_model.export.parity import ParityError, check_parity, made_rows
from tsa_model.network.networks import members_of

pytestmark = pytest.mark.slow  # an export of two members takes a minute


@pytest.fixture(scope="module")
def exported(shared_folder):
    """A session of two members and their network."""
    config = tiny_config(members=2, n_layers_order=1, n_layers_feature=1, n_classes=2)
    network = tiny_network(config)
    folder = shared_folder("members", lambda made: export(network, made / "model.onnx"))
    return session_of(folder / "model.onnx"), network


def test_parity_holds_for_the_mean_and_reaches_the_experts_of_every_member(exported):
    session, network = exported
    parity = check_parity(network, session, made_rows(network.config, 40, seed=8))
    assert parity.experts == 2 * 3 * 3
    # Experts of the card history are not counted: which rows a member sends there is not an output.
    assert parity.experts_hit >= 10
    assert dimension_names(network.config)["ensemble"] == ("batch", 2 * 3 * 8)
    assert set(parity.worst) == {"logits", "score", "ensemble", "gate_scores"}


def test_a_row_alone_scores_as_in_its_batch(exported):
    session, network = exported
    batch = {name: x.numpy() for name, x in made_rows(network.config, 70, seed=5).items()}
    together = session.run(batch)["score"]
    alone = session.run({name: x[33:34] for name, x in batch.items()})["score"]
    np.testing.assert_allclose(alone, together[33:34], rtol=0, atol=1e-6)


def test_parity_refuses_another_member(exported):
    session, network = exported
    other = network.twin("fast")
    with torch.no_grad():
        members_of(other)[1].clf[3].bias.add_(0.01)
    try:
        with pytest.raises(ParityError, match="differ"):
            check_parity(other, session, made_rows(network.config, 8, seed=8))
    finally:
        with torch.no_grad():
            members_of(other)[1].clf[3].bias.sub_(0.01)
