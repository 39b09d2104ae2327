"""A picture as a page: what is in the file, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from autodiff import Tensor
from autodiff.draw.page.packing import changes, floats, whole
from autodiff.draw.page.recording import Recording
from tests.autodiff.pages import HOSTILE, data_of, hashes, network, recorded, written, xor_loss


def test_the_page_lets_in_its_own_style_and_script_and_nothing_else(tmp_path: Path) -> None:
    page = written(xor_loss(network()).graph().html(tmp_path / "page.html"))
    allowed, own = hashes(page)
    assert allowed == own
    assert "default-src 'none'" in page
    assert not re.search(r"unsafe|\son\w+=|href|\bsrc=|url\(?!#ngz|@import|https?://(?!www\.w3\.org/)", page)


def test_the_same_graph_makes_the_same_page(tmp_path: Path) -> None:
    one = xor_loss(network()).graph().html(tmp_path / "one.html")
    other = xor_loss(network()).graph().save(tmp_path / "other.html")
    assert one.read_bytes() == other.read_bytes()


def test_names_of_any_kind_stay_text(tmp_path: Path) -> None:
    tensors = [Tensor([1.0, 2.0], requires_grad=True, name=name) for name in HOSTILE]
    loss = sum((t * t for t in tensors[1:]), tensors[0]).sum()
    loss.name = HOSTILE[3]
    loss.backward()
    page = written(loss.graph().html(tmp_path / "page.html"))
    assert page.count("<script") == 2 == page.count("</script>")
    assert page.count("<!--") == 0
    names = [node["name"] for node in data_of(page)["nodes"].values()]
    assert {"<b>bold</b>", "\"quoted\" 'name'", "{|} \\ ]]>", "a\\nb\\u202e\\x00c", "&lt;&#60;"} <= set(names)
    allowed, own = hashes(page)
    assert allowed == own


@pytest.mark.parametrize(
    "data",
    [np.zeros((0, 3)), np.array(2.0), np.array([np.nan, np.inf, -np.inf]), np.zeros((500, 2000)), np.zeros((2, 3, 4))],
    ids=["empty", "0-d", "nonfinite", "a million", "three axes"],
)
def test_arrays_of_any_kind(data: np.ndarray, tmp_path: Path) -> None:
    w = Tensor(data, requires_grad=True, name="w")
    loss = (w * 2.0).sum()
    loss.backward()
    page = loss.graph().html(tmp_path / "page.html")
    assert page.stat().st_size < 150_000
    for slot in data_of(written(page))["slots"]:
        assert slot["r"] * slot["c"] <= 1024


def test_without_a_gradient_there_is_a_page_without_a_backward_pass(tmp_path: Path) -> None:
    w = Tensor([1.0], requires_grad=True)
    data = data_of(written((w * w).sum().graph().html(tmp_path / "page.html")))
    assert all(step["g"] == -1 for step in data["steps"])
    assert data_of(written(Tensor(1.0).graph().html(tmp_path / "leaf.html")))["steps"] == []


def test_each_step_multiplies_what_comes_in_by_the_local_factor() -> None:
    model = xor_loss(network()).graph().model
    samples = model.samples
    assert len(samples.factors) >= 4
    for (op, place), factor in samples.factors.items():
        np.testing.assert_allclose(samples.returned[op, place].values, samples.incoming[op].values * factor.values)


def test_gradients_that_meet_add_up_to_the_one_on_the_card() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = (np.tanh(w) * np.sin(w) + w).sum()
    loss.backward()
    model = loss.graph().model
    cards = [key for key, node in model.nodes.items() if node.name == "w"]  # one, and its copies
    back = [model.samples.returned[e.target, e.operand].values for e in model.edges if e.source in cards]
    assert len(back) == 3
    np.testing.assert_allclose(sum(back)[0], w.grad)


def test_a_hundred_frames_of_the_xor_net_are_no_more_than_300_kilobytes(tmp_path: Path) -> None:
    recording = recorded(5000)
    assert len(recording) == 100
    page = recording.html(tmp_path / "page.html")
    assert page.stat().st_size <= 300_000
    data = data_of(written(page))
    assert data["training"]["base"] == pytest.approx(np.log(2), rel=1e-3)
    assert data["training"]["figures"]["loss"][-1] < 0.01


def test_a_recording_is_of_one_computation(tmp_path: Path) -> None:
    recording = Recording()
    with pytest.raises(ValueError, match="nothing was recorded"):
        recording.html(tmp_path / "page.html")
    recording.add(Tensor([1.0], requires_grad=True).sum(), epoch=0, figures={})
    with pytest.raises(ValueError, match="begin a new Recording"):
        recording.add(np.exp(Tensor([1.0], requires_grad=True)).sum(), epoch=1, figures={})
    assert len(recording) == 1


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such directory: '.*missing'"):
        xor_loss(network()).graph().html(tmp_path / "missing" / "page.html")


def test_packing() -> None:
    numbers = np.array([1.0, -2.5, 0.0, 1e-30, np.nan, np.inf, 3.4e38])
    assert len(floats([numbers])) == 4 * len(numbers)
    assert whole([0, 63, 4095], 2) == "AAA///"
    assert changes(["a 1 b 2", "same", "x"], ["a 1 b 3", "same", "y"]) == ["|2", 0, "=x"]
    assert changes(["first"], []) == ["=first"]


def test_a_gradient_that_has_all_but_vanished_is_not_shown_as_zero(tmp_path: Path) -> None:
    w = Tensor([1.0], requires_grad=True, name="w")
    loss = (w * 1e-200).sum()
    loss.backward()
    assert data_of(written(loss.graph().html(tmp_path / "page.html")))["wide"]
    assert not data_of(written(xor_loss(network()).graph().html(tmp_path / "page.html")))["wide"]
