"""The pictures of the cube: noise, S/N, three bands in colour, two compared; limits, histogram, and saving them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from pytestqt.qtbot import QtBot
from waiting import WAIT, settled

from gui.bands_dialog import BandsDialog
from gui.composite import band_mean, compose, thirds
from gui.main_window import MainWindow


def wait_for(window: MainWindow, picture: str, qtbot: QtBot) -> np.ndarray:
    """Wait until a picture is shown, and return its pixels."""
    panel = window.workspaces.image
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.picture == picture, timeout=WAIT)
    return panel.view.image.image


def test_noise_and_signal_to_noise_follow_the_wavelength(opened, qtbot: QtBot) -> None:
    cube, panel = opened.document.cube, opened.workspaces.image
    opened.actions_by_id["snr"].trigger()
    wait_for(opened, "snr", qtbot)
    panel.layer.setValue(40)
    qtbot.waitUntil(lambda: panel.shown.index == 40, timeout=WAIT)
    sigma = np.sqrt(cube.variance(40))
    np.testing.assert_allclose(panel.view.image.image, cube.layer(40) / sigma, rtol=1e-6)
    assert panel.pictures.button("more").text() == "S/N"
    opened.actions_by_id["noise"].trigger()
    np.testing.assert_allclose(wait_for(opened, "noise", qtbot), sigma, rtol=1e-6)
    opened.actions_by_id["white"].trigger()
    wait_for(opened, "white", qtbot)
    assert panel.pictures.button("more").text() == "More"
    assert panel.pictures.current == "white"


def test_three_bands_in_colour(opened, qtbot: QtBot) -> None:
    cube, panel, document = opened.document.cube, opened.workspaces.image, opened.document
    opened.actions_by_id["colour"].trigger()
    pixels = wait_for(opened, "colour", qtbot)
    assert pixels.shape == (*cube.shape[1:], 3)
    assert pixels.dtype == np.uint8
    assert panel.view.image.lut is None
    panel.view.hovered.emit((5.0, 6.0))  # a colour has no value: nothing fails
    opened.selection.set_band((4800.0, 4850.0))
    opened.actions_by_id["bands"].trigger()
    (dialog,) = opened.findChildren(BandsDialog)
    dialog.limits[1][0].setValue(4900.0)
    assert document.colour_ranges[1][0] == 4900.0
    assert document.colour_ranges[0] == pytest.approx(thirds(cube.wave)[0], abs=0.5)
    dialog.close()


def test_red_stars_are_red_and_blue_ones_blue_at_every_brightness() -> None:
    rng = np.random.default_rng(1)
    sky = [100.0 + rng.normal(0, 0.1, (40, 40)) for _ in range(3)]
    for row, scale in ((5, 3.0), (15, 30.0), (25, 300.0)):
        for column, colour in ((10, (4.0, 2.0, 1.0)), (20, (4.0, 4.0, 4.0)), (30, (1.0, 2.0, 4.0))):
            for image, strength in zip(sky, colour, strict=True):
                image[row : row + 3, column : column + 3] += scale * strength
    rgb = compose(*sky).astype(float)
    assert rgb[35, 5].max() < 30  # the sky is dark
    for row in (6, 16, 26):
        red, white, blue = rgb[row, 11], rgb[row, 21], rgb[row, 31]
        assert red[0] > 1.5 * red[2]
        assert blue[2] > 1.5 * blue[0]
        assert white.max() - white.min() < 0.1 * white.max()
    assert rgb[26, 21, 1] > rgb[16, 21, 1] > rgb[6, 21, 1]
    assert compose(*(np.full((4, 4), np.nan),) * 3).max() == 0


def test_bands_from_the_overview_are_those_of_the_cube(opened) -> None:
    cube, overview = opened.document.cube, opened.document.overview
    start = overview.band_start
    assert len(start) > 3
    low, high = float(cube.wave[start[0]]), float(cube.wave[start[-1] - 1]) + 1
    np.testing.assert_allclose(band_mean(cube, None, low, high), overview.white, rtol=1e-4)
    if len(start) > 4:
        np.testing.assert_allclose(band_mean(cube, overview, low, high), overview.white, rtol=0.02)


def test_two_pictures_side_by_side_move_together(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.image
    wait_for(finished, "white", qtbot)
    panel.comparison.set_picture("residual")
    other = panel.comparison.view
    qtbot.waitUntil(lambda: panel.comparison.image is not None, timeout=WAIT)
    assert other.isVisible()
    np.testing.assert_array_equal(other.image.image, finished.document.residual)
    assert (panel.view.overlay.title, other.overlay.title) == ("White light", "Residual")
    panel.view.box.setRange(xRange=(3, 9), yRange=(2, 8), padding=0)
    for mine, its in zip(panel.view.box.viewRange(), other.box.viewRange(), strict=True):
        assert its == pytest.approx(mine, abs=1.0)
    other.star_clicked.emit(str(finished.document.rows.star_id[1]))
    assert finished.selection.star == finished.document.rows.star_id[1]
    assert other._ring.getData()[0].size == 1
    panel.comparison.set_mode("off")
    assert not other.isVisible()
    assert panel.view.overlay.title == ""


def test_blinking_shows_one_picture_after_the_other(finished, qtbot: QtBot) -> None:
    panel = finished.workspaces.image
    white = wait_for(finished, "white", qtbot)
    panel.comparison.set_picture("residual")
    finished.actions_by_id["blink"].trigger()
    qtbot.waitUntil(lambda: panel.comparison.image is not None, timeout=WAIT)
    residual = finished.document.residual
    panel.comparison._on_tick()
    np.testing.assert_array_equal(panel.view.image.image, residual)
    assert panel.view.overlay.title == "Residual"
    panel.comparison._on_tick()
    np.testing.assert_array_equal(panel.view.image.image, white)
    finished.actions_by_id["blink"].trigger()
    assert not panel.comparison._timer.isActive()


def test_play_goes_through_the_slices_and_begins_again(opened, qtbot: QtBot) -> None:
    bar, n = opened.workspaces.image.wave_bar, opened.document.cube.shape[0]
    bar.slider.setValue(n - 2)
    opened.actions_by_id["play"].trigger()
    assert bar._timer.isActive()
    qtbot.waitUntil(lambda: bar.slider.value() in (0, 1, 2), timeout=WAIT)
    opened.actions_by_id["play"].trigger()
    assert not bar._timer.isActive()


def test_the_histogram_counts_the_pixels_between_the_limits(opened, qtbot: QtBot) -> None:
    panel = opened.workspaces.image
    pixels = wait_for(opened, "white", qtbot)
    sample = panel.bar._sample
    np.testing.assert_array_equal(sample, np.sort(pixels[np.isfinite(pixels)]))
    picture = panel.bar.grab().toImage()
    middle = panel.bar._bar().left() - 3
    inked = {picture.pixelColor(int(middle), y).name() for y in range(10, picture.height() - 10)}
    assert len(inked) > 1  # something is drawn left of the bar


def test_limits_are_typed_and_taken_back(opened, qtbot: QtBot) -> None:
    panel = opened.workspaces.image
    wait_for(opened, "white", qtbot)
    rule, popup = panel.view.image.levels.tolist(), panel.limit_popup
    panel.type_limits.trigger()
    assert not popup.automatic.isEnabled()
    for line, text in ((popup.low, "-2.5"), (popup.high, "40")):
        line.selectAll()
        qtbot.keyClicks(line, text)
    assert panel.limits == (-2.5, 40)
    assert panel.view.image.levels.tolist() == [-2.5, 40]
    popup.high.selectAll()
    qtbot.keyClicks(popup.high, "-7")
    assert popup.high.property("wrong") is True
    assert panel.limits == (-2.5, 40), "what is no limit changes nothing"
    popup.automatic.click()
    qtbot.waitUntil(lambda: panel.view.image.levels.tolist() == rule, timeout=WAIT)
    assert panel.limits is None
    assert popup.high.property("wrong") is False
    panel.bar.limits_dragged.emit(1.0, 9.0)
    assert (popup.low.text(), popup.high.text()) == ("1", "9")


def test_the_image_is_saved_as_picture_and_as_data(opened, tmp_path, qtbot: QtBot) -> None:
    pixels = wait_for(opened, "white", qtbot)
    for name in ("view.png", "view.svg", "view.fits"):
        opened.commands.export_image(tmp_path / name)
    qtbot.waitUntil((tmp_path / "view.fits").is_file, timeout=WAIT)
    settled(opened, qtbot)
    assert (tmp_path / "view.png").read_bytes()[1:4] == b"PNG"
    assert "<svg" in (tmp_path / "view.svg").read_text()[:400]
    data, header = fits.getdata(tmp_path / "view.fits", header=True)
    np.testing.assert_array_equal(data, pixels)
    from astropy.wcs import WCS

    sky = WCS(header).wcs_pix2world(5.0, 6.0, 0)
    assert np.array(sky) == pytest.approx(opened.document.cube.pixel_to_world(5.0, 6.0), abs=1e-7)
