"""What a fault of an export is: a change of the ONNX model, or of the session that runs it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Outputs = dict[str, Any]
Inputs = dict[str, Any]


class StaleMutant(ValueError):
    """The catalogue is older than the exporter: what a mutant changes is not there."""


@dataclass(frozen=True)
class ModelMutant:
    """A change of the exported file; `change` takes the model and its loop's body."""

    name: str
    change: Callable[[onnx.ModelProto, onnx.GraphProto], None]

    def session(self, session: Any, path: Path) -> Any:
        """A session of the changed file.

        Raises:
            StaleMutant: nothing was changed.
        """
        model = onnx.load(session.path)
        before = model.SerializeToString(deterministic=True)
        self.change(model, body_of(model))
        after = model.SerializeToString(deterministic=True)
        if after == before:
            raise StaleMutant(f"mutant {self.name!r} changes nothing")
        path.write_bytes(after)
        return type(session)(path, session.settings)


@dataclass(frozen=True)
class SessionMutant:
    """A session that does something else; its file is whole.

    Attributes:
        name: what is wrong.
        after: changes the outputs of a call, in place; takes inputs, outputs and the session.
        before: changes the inputs of a call, in place.
    """

    name: str
    after: Callable[[Inputs, Outputs, Any], None] | None = None
    before: Callable[[Inputs], None] | None = None

    def session(self, session: Any, path: Path) -> Any:
        """The wrapped session."""
        return Wrapped(session, self)


class Wrapped:
    """A `ScoringSession` around whose calls something happens."""

    def __init__(self, session: Any, mutant: SessionMutant) -> None:
        self.inner, self.mutant = session, mutant
        self.path, self.settings = session.path, session.settings
        self.remembered: dict[Any, Any] = {}

    def with_threads(self, threads: int) -> Wrapped:
        """As the session's own."""
        return Wrapped(self.inner.with_threads(threads), self.mutant)

    def run(self, batch: Mapping[str, Any]) -> Outputs:
        """As the session's own."""
        return self._around(batch, self.inner.run)

    def call(self, batch: Mapping[str, Any]) -> Outputs:
        """As the session's own."""
        return self._around(batch, self.inner.call)

    def _around(self, batch: Mapping[str, Any], call: Callable[[Inputs], Outputs]) -> Outputs:
        inputs = {name: np.asarray(x).copy() for name, x in batch.items()}
        if self.mutant.before is not None:
            self.mutant.before(inputs)
        outputs = {name: x.copy() for name, x in call(inputs).items()}
        if self.mutant.after is not None:
            self.mutant.after(inputs, outputs, self)
        return outputs


def body_of(model: onnx.ModelProto) -> onnx.GraphProto:
    """The body of the model's loop."""
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    return loop.attribute[0].g


def nodes(model: onnx.ModelProto, op_type: str, reads: str = "") -> list[onnx.NodeProto]:
    """Nodes of a type, of the graph and the body, one of whose inputs contains a text."""
    every = [*model.graph.node, *body_of(model).node]
    return [node for node in every if node.op_type == op_type and any(reads in name for name in node.input)]


def node(model: onnx.ModelProto, op_type: str, reads: str = "") -> onnx.NodeProto:
    """The first of `nodes`.

    Raises:
        StaleMutant: there is none.
    """
    found = nodes(model, op_type, reads)
    if not found:
        raise StaleMutant(f"the graph has no {op_type} that reads {reads!r}")
    return found[0]


def tensor(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    """An initialiser.

    Raises:
        StaleMutant: there is none of this name.
    """
    for each in graph.initializer:
        if each.name == name:
            return each
    raise StaleMutant(f"the graph has no tensor {name!r}")


def put(graph: onnx.GraphProto, name: str, values: Any) -> None:
    """Replace an initialiser's values."""
    old = tensor(graph, name)
    old.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))


def values_of(graph: onnx.GraphProto, name: str) -> np.ndarray:
    """A copy of an initialiser's values."""
    return numpy_helper.to_array(tensor(graph, name)).copy()


def nameless(graph: onnx.GraphProto) -> Iterator[str]:
    """Initialisers that the exporter made itself: transposed weights."""
    for each in graph.initializer:
        if each.name.startswith("val_") and len(each.dims) == 2:
            yield each.name


def constants(model: onnx.ModelProto, value: float) -> list[onnx.AttributeProto]:
    """The values of `Constant` nodes that hold one float."""
    found = []
    for each in body_of(model).node:
        if each.op_type == "Constant":
            held = helper.get_attribute_value(each.attribute[0])
            if isinstance(held, onnx.TensorProto):
                held = numpy_helper.to_array(held)
            held = np.asarray(held)
            if held.size == 1 and held.dtype.kind == "f" and np.float32(held.item()) == np.float32(value):
                found.append(each.attribute[0])
    return found


def set_constant(attribute: onnx.AttributeProto, value: float) -> None:
    """Give a float constant another value."""
    if attribute.HasField("t"):
        held = numpy_helper.to_array(attribute.t)
        attribute.t.CopyFrom(numpy_helper.from_array(np.full_like(held, value), attribute.t.name))
    else:
        attribute.f = value


def passed_on(found: onnx.NodeProto, place: int = 0) -> None:
    """Make a node give one of its inputs back."""
    kept = found.input[place]
    found.op_type = "Identity"
    del found.input[:], found.attribute[:]
    found.input.append(kept)


def inserted(graph: onnx.GraphProto, before: str, op_type: str, **attributes: Any) -> None:
    """Put an operator between a tensor and all that reads it."""
    new = helper.make_node(op_type, [before], [f"{before}_{op_type}"], **attributes)
    readers = [each for each in graph.node if before in each.input]
    for reader in readers:
        for place, name in enumerate(reader.input):
            if name == before:
                reader.input[place] = new.output[0]
    first = min((list(graph.node).index(each) for each in readers), default=len(graph.node))
    kept = [copy.deepcopy(each) for each in graph.node]
    del graph.node[:]
    graph.node.extend([*kept[:first], new, *kept[first:]])
