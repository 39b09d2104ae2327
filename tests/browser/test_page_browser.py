"""The page in a real browser: it opens from a file, keys and sliders work, its numbers are the engine's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor
from autodiff.draw.snapshot import number
from tests.autodiff.pages import HOSTILE, network, recorded, written, xor_loss

pytest.importorskip("playwright.sync_api", reason="needs Playwright")
Opener = Callable[..., Any]


def numbers(page: Any, selector: str) -> np.ndarray:
    """Return the numbers of the first table inside an element."""
    rows = page.locator(selector).locator("tr").all()
    return np.array([[float(cell) for cell in row.locator("td").all_text_contents()] for row in rows])


@pytest.fixture
def model() -> Any:
    return network()


@pytest.fixture
def xor_page(model: Any, tmp_path: Path) -> Path:
    return xor_loss(model).graph().html(tmp_path / "page.html")


def test_keys_step_through_the_backward_pass(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page)
    where = page.locator("#where")
    assert where.text_content() == "step 1 of 7: binary_cross_entropy"
    page.keyboard.press("ArrowRight")
    assert (where.text_content() or "").startswith("step 2 of 7: sigmoid")
    page.keyboard.press("ArrowLeft")
    assert (where.text_content() or "").startswith("step 1 of 7")
    page.keyboard.press("End")
    assert (where.text_content() or "").startswith("step 7 of 7: linear")
    assert page.locator(".ng g.current").count() == 1
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert page.locator("#play").text_content() == "Stop"
    page.wait_for_timeout(1600)
    assert (where.text_content() or "").startswith("step 2")
    page.keyboard.press(" ")
    assert page.locator("#play").text_content() == "Play"
    page.locator("#step").fill("4")
    assert (where.text_content() or "").startswith("step 5 of 7")


def test_the_numbers_are_the_engines(model: Any, xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page)
    layers = [parameter for _, parameter in model.named_parameters()]
    for name, parameter in model.named_parameters():
        card = page.locator(f'.ng g[aria-label^="parameter"][aria-label*="{name}:"]')
        assert card.count() == 1
        card.click()
        shown = numbers(page, "#details .columns > div:nth-child(1) table")
        np.testing.assert_allclose(shown.reshape(parameter.shape), parameter.data, rtol=6e-4, atol=1e-12)
        shown = numbers(page, "#details .columns > div:nth-child(2) table")
        np.testing.assert_allclose(shown.reshape(parameter.shape), parameter.grad, rtol=6e-4, atol=1e-12)
    assert len(layers) == 6


def test_each_step_shows_a_product(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page)
    page.keyboard.press("ArrowRight")
    parts = [numbers(page, f"#explained .columns > div:nth-child({i}) table") for i in (1, 2, 3)]
    np.testing.assert_allclose(parts[0] * parts[1], parts[2], rtol=2e-3)
    assert "× local factor" in (page.locator("#explained").text_content() or "")
    assert "a(1 − a)" in (page.locator("#explained").text_content() or "")


def test_gradients_that_meet_are_added(tmp_path: Path, opened: Opener) -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = (w * w + np.sin(w)).sum()
    loss.backward()
    page = opened(loss.graph().html(tmp_path / "page.html"))
    page.keyboard.press("End")
    said = page.locator("#explained .sum").text_content() or ""
    assert said == "w += : 3 of its 3 gradients have arrived; their sum"
    np.testing.assert_allclose(numbers(page, "#explained > div:last-child table")[0], w.grad, rtol=6e-4)


def test_everything_can_be_reached_with_the_keyboard(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page)
    labels = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        labels.add(page.evaluate("document.activeElement.id"))
        if page.evaluate("document.activeElement.id") == "t1":
            page.keyboard.press("Enter")
            assert "parameter" in (page.locator("#chosen").text_content() or "")
    assert {"picture", "next", "play", "step", "t0", "o0"} <= labels
    unnamed = "Array.from(document.querySelectorAll('button, input, [role=button], [role=img]')).filter(e => "
    unnamed += "!(e.getAttribute('aria-label') || e.textContent || e.labels?.length)).length"
    assert page.evaluate(unnamed) == 0


def test_a_line_of_code_a_formula_a_heat_map_and_a_histogram(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page)
    page.locator('.ng g[aria-label^="op sigmoid"]').first.click()
    details = page.locator("#details").text_content() or ""
    assert "pages.py" in details
    assert "a(1 − a)" in details
    page.locator("#t1").click()
    assert page.locator('#details svg[aria-label^="heat map"]').count() == 2
    assert page.locator('#details svg[aria-label^="histogram"]').count() == 2


def test_the_slider_goes_through_the_training(tmp_path: Path, opened: Opener) -> None:
    recording = recorded(1000, every=100)
    page = opened(recording.html(tmp_path / "page.html"))
    for i in (0, 3, 9):
        page.locator("#moment").fill(str(i))
        moment = recording.moments[i]
        loss = moment.figures["loss"]
        found = re.fullmatch(r"(\d+), loss (.*)", page.locator("#epoch").text_content() or "")
        assert found is not None
        assert int(found[1]) == moment.epoch
        assert float(found[2]) == pytest.approx(loss, rel=1e-3)
        card = page.locator(".ng g#" + moment.model.root.id).text_content() or ""
        assert number(loss) in card
        weight = next(node for node in moment.model.nodes.values() if node.name and node.name.endswith("weight"))
        page.locator(f".ng g#{weight.id}").click()
        shown = numbers(page, "#details .columns > div:nth-child(1) table")
        np.testing.assert_allclose(shown, moment.model.samples.values[weight.id].values, rtol=6e-4)
    page.locator("#moment").press("Home")
    assert (page.locator("#epoch").text_content() or "").startswith("0, loss")
    assert page.locator("#charts svg").count() == 4
    page.locator("h1").click()
    page.keyboard.press(".")
    assert (page.locator("#epoch").text_content() or "").startswith("100, loss")


def test_every_frame_has_the_texts_of_its_picture(tmp_path: Path, opened: Opener) -> None:
    from autodiff.draw.picture.cards import cards

    recording = recorded(600, every=150)
    page = opened(recording.html(tmp_path / "page.html"))
    for i, moment in enumerate(recording.moments):
        page.locator("#moment").fill(str(i))
        for key, card in cards(moment.model).items():
            lines = page.locator(f".ng g#{key} text").all_text_contents()
            shown = [line.replace("\xa0", " ") for line in lines if line]
            assert shown == [line.text for line in card.lines]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_and_both_schemes(scheme: str, tmp_path: Path, opened: Opener) -> None:
    path = recorded(300).html(tmp_path / "page.html")
    for width in (390, 1500):
        page = opened(path, width, 900, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture = page.screenshot(path=tmp_path / f"{scheme}-{width}.png")
        assert len(picture) > 20_000
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]


def test_hostile_names(tmp_path: Path, opened: Opener) -> None:
    tensors = [Tensor([1.0, 2.0], requires_grad=True, name=name) for name in HOSTILE]
    loss = sum((t * t for t in tensors[1:]), tensors[0]).sum()
    loss.backward()
    page = opened(loss.graph().html(tmp_path / "page.html"))
    assert page.title().startswith("loss ")
    while page.locator("#next").is_enabled():
        page.locator("#next").click()
    for group in page.locator(".ng g[tabindex]").all():
        group.click(force=True)
    assert page.locator("b").count() == 0
    assert page.locator("script").count() == 2
    assert "<b>bold</b>" in (page.locator(".ng").text_content() or "")


def test_reduced_motion_and_print(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page, reduced_motion="reduce")
    page.keyboard.press(" ")
    page.wait_for_timeout(1500)
    assert (page.locator("#where").text_content() or "").startswith("step 1")
    page.emulate_media(media="print")
    assert not page.locator("#next").is_visible()
    assert page.locator("#picture svg").is_visible()


def test_without_javascript_the_picture_stands(xor_page: Path, opened: Opener) -> None:
    page = opened(xor_page, java_script_enabled=False)
    assert page.locator("#picture svg").is_visible()
    assert "JavaScript" in written(xor_page)


def test_a_gradient_that_has_all_but_vanished(tmp_path: Path, opened: Opener) -> None:
    w = Tensor([1.0, 1e300], requires_grad=True, name="w")
    loss = (w * [1e-200, 3e-120]).sum()
    loss.backward()
    page = opened(loss.graph().html(tmp_path / "page.html"))
    page.locator("#t0").click()
    assert page.locator("#details td").all_text_contents() == ["1", "1e300", "1e-200", "3e-120"]
