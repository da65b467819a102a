"""Drawn rates of a sweep."""

import re
from xml.etree import ElementTree

import pytest

from fuse_lightning.decoding.rates import Grades
from fuse_lightning.decoding.sweep import Sweep
from fuse_lightning.report.rate_curve import Scale, rate_curve

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = [(1.0, 0, 400), (2.0, 4, 200), (2.5, 12, 200), (3.0, 40, 200)]


def sweep(counts=COUNTS, name="refusal", **options):
    return Sweep.of_grades([Grades.counted(*each) for each in counts], name, **options)


def drawn(one):
    return ElementTree.fromstring(str(rate_curve(one)))


def test_marks_stand_at_the_rates_and_the_curve_goes_through_the_extrapolated_one():
    one = sweep(COUNTS[1:])
    scale, root = Scale.of(one), drawn(one)
    dots = [each for each in root.iter(f"{SVG}circle") if each.find(f"{SVG}title") is not None]
    for dot, rate in zip(dots, one.rates, strict=True):
        place = scale.x(rate.amount), scale.y(rate.rate)
        assert (float(dot.get("cx")), float(dot.get("cy"))) == pytest.approx(place, abs=0.06)
    line = root.find(f"{SVG}polyline").get("points").split()
    first = [float(each) for each in line[0].split(",")]
    found = one.extrapolation
    assert first == pytest.approx([scale.x(found.wanted), scale.y(found.rate)], abs=0.06)
    # A line of logits is straight.
    ends = [[float(each) for each in point.split(",")] for point in (line[0], line[20], line[40])]
    assert ends[1] == pytest.approx([(a + b) / 2 for a, b in zip(*ends[::2], strict=True)], abs=0.2)


def test_higher_rates_are_drawn_higher_and_nothing_leaves_the_drawing():
    for counts in (COUNTS, [(2, 0, 9), (3, 9, 9)], [(0, 30, 40), (0.5, 10, 40), (1, 40, 40)]):
        one = sweep(counts)
        scale = Scale.of(one)
        heights = [scale.y(rate) for rate in (0, 1e-9, 0.001, 0.01, 0.4, 0.9, 1)]
        assert heights == sorted(heights, reverse=True)
        numbers = re.findall(r' (?:[xy][12]?|c[xy])="([^"]*)"', str(rate_curve(one)))
        assert all(0 <= float(each) <= 640 for each in numbers)


def test_a_rate_of_0_stands_apart_with_its_own_name():
    one = sweep()
    scale = Scale.of(one)
    assert scale.none
    assert scale.y(0.0) - scale.y(scale.rates[0]) == pytest.approx(24)
    texts = [each.text for each in drawn(one).iter(f"{SVG}text")]
    assert "0 %" in texts
    assert "amount" in texts
    assert "0 %" not in [each.text for each in drawn(sweep(COUNTS[1:])).iter(f"{SVG}text")]


def test_names_are_no_markup_and_what_the_sweep_says_is_told_without_the_drawing():
    root = drawn(sweep(name='<script>"a" & b'))
    assert root.find(f"{SVG}title").text == 'Rate of <script>"a" & b by amount'
    assert "extrapolated by a line: 0.14 %" in root.find(f"{SVG}desc").text
    # The page's policy forbids styles that are written into elements.
    assert not [each for each in root.iter() if each.get("style")]


def test_a_sweep_without_an_extrapolation_is_drawn_without_a_curve():
    root = drawn(sweep([(1, 0, 50), (2, 0, 50)]))
    assert root.find(f"{SVG}polyline") is None
    assert "no rate is extrapolated" in root.find(f"{SVG}desc").text
