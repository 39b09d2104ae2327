"""Which line of a person's code computed a tensor."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from autodiff.ops.activations import sigmoid
from autodiff.sources import Source, record_sources
from autodiff.state import watchers, watching
from autodiff.tensor import Tensor
from nn import Linear, Module, Sequential


def leaf() -> Tensor:
    return Tensor([[1.0, 2.0]], requires_grad=True)


def test_the_line_is_kept_however_the_op_is_spelt() -> None:
    x = leaf()
    with record_sources():
        made = [
            x * 2,
            np.exp(x),
            np.sum(x, axis=0),
            x.mean(),
            sigmoid(x),
            x.T,
            x[0],
        ]
    texts = ["x * 2,", "np.exp(x),", "np.sum(x, axis=0),", "x.mean(),", "sigmoid(x),", "x.T,", "x[0],"]
    assert [t.source.text for t in made] == texts
    first = made[0].source
    assert first.file == __file__
    assert first.function == "test_the_line_is_kept_however_the_op_is_spelt"
    assert [t.source.line for t in made] == list(range(first.line, first.line + 7))
    assert str(first) == f"{__file__}:{first.line}, in {first.function}: x * 2,"


def test_it_is_off_unless_asked_for() -> None:
    x = leaf()
    assert x.source is None
    assert (x * 2).source is None
    with record_sources():
        pass
    assert (x * 2).source is None
    with pytest.raises(ValueError), record_sources():
        raise ValueError
    assert (x * 2).source is None
    assert not watching
    assert not watchers.get()


def test_in_a_model_it_is_the_line_of_the_innermost_own_layer() -> None:
    class Block(Module):
        def __init__(self) -> None:
            self.linear = Linear(2, 2, seed=0)

        def forward(self, x: Any) -> Any:
            return np.tanh(self.linear(x)) + 1

    model = Sequential(Linear(2, 2, seed=0), Block())
    with record_sources():
        y = model(leaf())
        z = Sequential(Linear(2, 2, seed=0))(leaf())
    assert y.source.text == "return np.tanh(self.linear(x)) + 1"
    assert y.source.function == "forward"
    assert y.inputs[0].inputs[0].source.text == "return np.tanh(self.linear(x)) + 1"
    assert y.inputs[0].inputs[0].inputs[0].source.text == "y = model(leaf())"
    assert z.source.text == "z = Sequential(Linear(2, 2, seed=0))(leaf())"


def test_results_that_need_no_gradient_and_assignments_have_one_too() -> None:
    with record_sources():
        constant = Tensor([1.0, 2.0]) * 2
        x = leaf() * 1.0
        x[0, 0] = 5.0
    assert constant.source.text == "constant = Tensor([1.0, 2.0]) * 2"
    assert x.source.text == "x[0, 0] = 5.0"
    assert x.inputs[0].source.text == "x = leaf() * 1.0"


def test_a_decorated_function() -> None:
    @record_sources()
    def f(x: Any) -> Any:
        return x * 3

    assert f(leaf()).source.text == "return x * 3"
    assert f(leaf()).source.function == "f"


def test_code_without_a_file() -> None:
    names: dict[str, Any] = {"x": leaf()}
    with record_sources():
        exec("y = x * 2", names)
    assert names["y"].source == Source("<string>", 1, "<module>", "")
    assert str(names["y"].source) == "<string>:1, in <module>"


def test_threads_and_tasks_have_their_own() -> None:
    found: dict[str, Any] = {}

    def elsewhere() -> None:
        found["thread"] = (leaf() * 2).source

    async def task(name: str, record: bool) -> None:
        if record:
            with record_sources():
                await asyncio.sleep(0.01)
                found[name] = (leaf() * 2).source
        else:
            await asyncio.sleep(0.005)
            found[name] = (leaf() * 2).source

    async def run() -> None:
        await asyncio.gather(task("with", True), task("without", False))

    with record_sources():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert (leaf() * 2).source is not None
    asyncio.run(run())
    assert found["thread"] is None
    assert found["with"].text == "found[name] = (leaf() * 2).source"
    assert found["without"] is None
