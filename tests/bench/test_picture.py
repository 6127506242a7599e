"""What the benches' picture promises: every system, in order, inside the frame, for both lights."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.bench.picture import WIDTH, picture, scale

SVG = "{http://www.w3.org/2000/svg}"


def figures(rate: int, cost: float = 2.0, low: int = 0, high: int = 0) -> dict[str, Any]:
    return {
        "ticks_per_s": rate,
        "ticks_per_s_range": [low or rate, high or rate],
        "cpu_s_per_million": cost,
    }


def drawn(**systems: dict[str, Any]) -> ET.Element:
    """Return the picture of the systems; `bare` is a limit, and `ours` is ours."""
    return ET.fromstring(picture(systems, ["bare"], ["ours"], "on 2 cores"))  # noqa: S314 - our own


def texts(svg: ET.Element) -> list[str]:
    return [each.text or "" for each in svg.iter(f"{SVG}text")]


def bars(svg: ET.Element) -> dict[str, list[float]]:
    """Return the widths of the bars by kind: of the rate, then of the CPU time."""
    found: dict[str, list[float]] = {}
    for each in svg.iter(f"{SVG}rect"):
        found.setdefault(each.attrib["class"], []).append(float(each.attrib["width"]))
    return found


def test_the_fastest_comes_first() -> None:
    shown = texts(drawn(slow=figures(2_000), ours=figures(600_000), bare=figures(1_000_000)))

    names = [text for text in shown if text in {"slow", "ours", "bare"}]
    assert names == ["bare", "ours", "slow"]
    assert {"1,000,000", "600,000", "2,000"} <= set(shown)


def test_ten_times_the_rate_is_a_bar_longer_by_a_decade() -> None:
    svg = drawn(bare=figures(500_000), ours=figures(50_000), slow=figures(5_000))

    found = bars(svg)
    first, second, third = (found[kind][0] for kind in ("limit", "ours", "peer"))
    assert first - second == pytest.approx(second - third, abs=0.2)


def test_a_range_reaches_from_the_slowest_round_to_the_fastest() -> None:
    svg = drawn(bare=figures(100_000, low=10_000, high=1_000_000), slow=figures(1_000))

    line = next(each for each in svg.iter(f"{SVG}line") if each.attrib["class"] == "range")
    axis = scale([1_000, 1_000_000], 0.0, 300.0)
    length = float(line.attrib["x2"]) - float(line.attrib["x1"])
    assert axis.at(1_000_000) - axis.at(10_000) == pytest.approx(length, rel=0.2)
    assert length > 0


def test_the_axes_name_their_decades() -> None:
    shown = texts(drawn(bare=figures(1_640_000, 0.3), slow=figures(1_800, 547.0)))

    assert {"1k", "10k", "100k", "1M", "10M"} <= set(shown)
    assert {"0.1", "1", "10", "100", "1k"} <= set(shown)


def test_everything_lies_within_the_frame() -> None:
    svg = drawn(bare=figures(1_640_000, 0.3), slow=figures(1_800, 547.0), ours=figures(650_000))

    height = float(svg.attrib["viewBox"].split()[3])
    for each in svg.iter():
        assert float(each.attrib.get("x", 0)) + float(each.attrib.get("width", 0)) <= WIDTH
        assert float(each.attrib.get("y", 0)) + float(each.attrib.get("height", 0)) <= height
    assert all(width > 1 for widths in bars(svg).values() for width in widths)


def test_it_has_colours_for_light_and_for_dark() -> None:
    assert "prefers-color-scheme: dark" in picture({"bare": figures(1)}, ["bare"], [], "")


def test_a_name_is_text_and_no_markup() -> None:
    svg = drawn(**{"<b>": figures(10)})

    assert "<b>" in texts(svg)


def test_an_axis_begins_below_the_least_value_and_ends_above_the_greatest() -> None:
    axis = scale([1.05, 99.0], 10.0, 200.0)

    assert (axis.low, axis.high) == (0.1, 100.0)
    assert axis.decades() == [0.1, 1.0, 10.0, 100.0]
    assert axis.at(0.1) == 10.0
    assert axis.at(100.0) == 210.0
