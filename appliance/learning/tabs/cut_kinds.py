"""Deviations of the cut: burr, excess material, missing corner, crack. Each function draws one of a given size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.outline import STEP_MM, Outline, Points

_ROOT_MM = 0.12
"""How far an outgrowth begins inside the foil: beyond the waviness, so that nothing shows between them."""

_TAB = ("left_side", "left_corner", "top", "right_corner", "right_side")
_CORNERS = ("left_corner", "right_corner")
_ROOTS = ("left_root", "right_root")


@dataclass(frozen=True)
class CutChange:
    """What a deviation of the cut adds and removes: polygons in mm."""

    added: tuple[Points, ...] = ()
    removed: tuple[Points, ...] = ()


def burr(outline: Outline, length_mm: float, draws: Draws) -> CutChange:
    """Draw a thin outgrowth, bent a little; now and then a row of them, the first the longest."""
    place = _place(outline, (*_TAB, *_ROOTS), draws)
    count = 1 if draws.chance(0.7) else 2 + draws.pick(3)
    spikes = []
    for number in range(count):
        share = 1.0 if number == 0 else draws.within((0.35, 0.8))
        spikes.append(_spike(outline, place, length_mm * share, draws))
        place = min(len(outline.points) - 1, place + round(draws.within((0.15, 0.35)) / STEP_MM))
    return CutChange(added=tuple(spikes))


def _spike(outline: Outline, place: int, length_mm: float, draws: Draws) -> Points:
    point, normal = outline.points[place], outline.normals[place]
    tangent = np.array([-normal[1], normal[0]])
    width = min(max(0.5 * length_mm, 0.11), 0.24) * draws.within((0.8, 1.3))
    bend = draws.within((-0.5, 0.5)) * length_mm
    share = np.linspace(0, 1, 9)
    taper = width / 2 * (1 - share**1.4) * (1 + 0.18 * draws.smooth(9, 1))
    spine = point + np.outer(share * length_mm, normal) + np.outer(bend * share**2, tangent)
    foot = point - _ROOT_MM * normal
    left, right = spine - np.outer(taper, tangent), spine + np.outer(taper, tangent)
    return np.concatenate([[foot - width / 2 * tangent], left, right[::-1], [foot + width / 2 * tangent]])


def excess_material(outline: Outline, depth_mm: float, draws: Draws) -> CutChange:
    """Draw a piece that wasn't cut away: a web across a root, or a tag along an edge."""
    if draws.chance(0.45):
        first, last, chord = _across(outline, _ROOTS[draws.pick(2)], depth_mm, draws)
        inside = (outline.points - _ROOT_MM * outline.normals)[first : last + 1]
        return CutChange(added=(np.concatenate([inside, chord]),))
    place = _place(outline, ("left_side", "top", "right_side", "left_shoulder", "right_shoulder"), draws)
    aspect = draws.within((1.2, 3.5))  # along the edge against away from it
    half = max(2, round(depth_mm * aspect / STEP_MM / 2))
    first, last = max(0, place - half), min(len(outline.points) - 1, place + half)
    share = np.linspace(0, 1, last - first + 1)
    slope = draws.within((3, 9))
    profile = np.clip(np.minimum(share, 1 - share) * slope, 0, 1) * (1 + draws.within((-0.35, 0.35)) * (share - 0.5))
    height = depth_mm * profile / profile.max() * (1 + 0.07 * draws.smooth(len(share), 3))
    normals = outline.normals[(first + last) // 2]  # one direction: a tag doesn't fan out
    line = outline.points[first : last + 1]
    return CutChange(added=(np.concatenate([line + np.outer(height, normals), (line - _ROOT_MM * normals)[::-1]]),))


def missing_corner(outline: Outline, depth_mm: float, draws: Draws) -> CutChange:
    """Draw a corner of the tab off, straight or bitten."""
    first, last, chord = _across(outline, _CORNERS[draws.pick(2)], depth_mm, draws)
    outside = (outline.points + 0.3 * outline.normals)[first : last + 1]
    return CutChange(removed=(np.concatenate([outside, chord]),))


def crack(outline: Outline, length_mm: float, draws: Draws) -> CutChange:
    """Draw a tear from the edge inwards, most often at a root where the foil is bent."""
    sections = _ROOTS if draws.chance(0.5) else ("left_side", "top", "right_side")
    place = _place(outline, sections, draws)
    point, normal = outline.points[place], outline.normals[place]
    tangent = np.array([-normal[1], normal[0]])
    steps = 14
    share = np.linspace(0, 1, steps)
    sideways = draws.within((-0.5, 0.5)) * share + 0.05 * np.cumsum(draws.smooth(steps, 0.6)) * share
    spine = point - np.outer(share * length_mm, normal) + np.outer(sideways * length_mm, tangent)
    mouth = min(max(0.11, draws.within((0.08, 0.2)) * length_mm), 0.32)
    width = mouth * (1 - share) ** 0.7 * (1 + 0.15 * draws.smooth(steps, 1)) + 0.035
    outer = point + 0.2 * normal
    half = width[:, None] / 2 * tangent
    flank = mouth / 2 * tangent
    return CutChange(removed=(np.concatenate([[outer - flank], spine - half, (spine + half)[::-1], [outer + flank]]),))


def _place(outline: Outline, sections: tuple[str, ...], draws: Draws) -> int:
    """Draw a point of the cut, each mm of the sections as likely as any other; of a shoulder only what is in view."""
    places = np.concatenate([np.arange(first, last + 1) for first, last in (outline.spans[name] for name in sections)])
    places = places[np.abs(outline.points[places, 0]) < 13.0]
    return int(places[draws.pick(len(places))])


def _across(outline: Outline, corner: str, depth_mm: float, draws: Draws) -> tuple[int, int, Points]:
    """Cross a corner by a torn line that passes it at a distance, bowed and rough.

    Returns:
        First and last index of the cut between the line's ends; the line, (N, 2) mm, from last to first.
    """
    bow = draws.within((-0.25, 0.25))
    middle = outline.middle(corner)
    first, last = outline.window(middle, depth_mm / (1 + bow))
    start, end = outline.points[last], outline.points[first]
    steps = max(6, round(float(np.linalg.norm(end - start)) / (2 * STEP_MM)))
    share = np.linspace(0, 1, steps)
    away = (start + end) / 2 - outline.points[middle]
    arch = 4 * share * (1 - share)
    rough = 0.07 * draws.smooth(steps, 1.5) * np.sqrt(arch)
    return first, last, start + np.outer(share, end - start) + np.outer(bow * arch + rough, away)
