"""A small analytic ray caster: convex solids in a lit room, as five weights a pixel.

Arrays of points and directions are [3, P]: x to the right, y away, z up; a solid
stands on the floor at the origin.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Span = tuple[np.ndarray, np.ndarray, np.ndarray]  # enter [P], leave [P], normal [3, P] at enter
Solid = Callable[[np.ndarray, np.ndarray], Span]  # (origin, direction) -> Span


class Camera(NamedTuple):
    """A pinhole that orbits the object at `distance` and `height`, pitched down by `pitch`."""

    distance: float
    height: float
    pitch: float  # radians
    focal: float  # pixels


class Room(NamedTuple):
    """Walls |x| = 1 and y = 1 up to `wall_height`, no ceiling, a spot light."""

    wall_height: float
    light: np.ndarray  # [3]
    target: np.ndarray  # [3], what the light is aimed at
    sharpness: float  # exponent of the cosine to the light's axis
    floor: tuple[float, float]  # ambient, diffuse
    wall: tuple[float, float, float]  # ambient, towards the camera, diffuse
    object: tuple[float, float, float]
    white: float  # added where the light reaches the object


def slab(axis: int, low: float, high: float) -> Solid:
    """The points between two planes."""

    def hit(origin: np.ndarray, direction: np.ndarray) -> Span:
        with np.errstate(divide="ignore", invalid="ignore"):
            first = (low - origin[axis]) / direction[axis]
            second = (high - origin[axis]) / direction[axis]
        normal = np.zeros_like(direction)
        normal[axis] = -np.sign(direction[axis])
        return np.minimum(first, second), np.maximum(first, second), normal

    return hit


def tube(radius: float) -> Solid:
    """An infinite vertical cylinder."""
    return _round(radius, np.array([1.0, 1.0, 0.0]), 0.0)


def ball(radius: float, height: float) -> Solid:
    """A sphere with its centre at `height`."""
    return _round(radius, np.ones(3), height)


def _round(radius: float, axes: np.ndarray, height: float) -> Solid:
    centre, axes = np.array([0, 0, height])[:, None], axes[:, None]

    def hit(origin: np.ndarray, direction: np.ndarray) -> Span:
        offset, along = (origin - centre) * axes, direction * axes
        a = (along * along).sum(0)
        b = (offset * along).sum(0)
        c = (offset * offset).sum(0) - radius**2
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        missed = b * b < a * c
        enter = np.where(missed, np.inf, (-b - root) / a)
        leave = np.where(missed, -np.inf, (-b + root) / a)
        with np.errstate(invalid="ignore"):
            return enter, leave, (offset + enter * along) / radius

    return hit


def both(*solids: Solid) -> Solid:
    """The intersection of convex solids."""

    def hit(origin: np.ndarray, direction: np.ndarray) -> Span:
        enter, leave, normal = solids[0](origin, direction)
        for solid in solids[1:]:
            other_enter, other_leave, other_normal = solid(origin, direction)
            normal = np.where(other_enter > enter, other_normal, normal)
            enter, leave = np.maximum(enter, other_enter), np.minimum(leave, other_leave)
        return enter, leave, normal

    return hit


def either(*solids: Solid) -> Solid:
    """The union of convex solids, where that is convex too."""

    def hit(origin: np.ndarray, direction: np.ndarray) -> Span:
        enter, leave, normal = _miss_at_infinity(solids[0](origin, direction))
        for solid in solids[1:]:
            other_enter, other_leave, other_normal = _miss_at_infinity(solid(origin, direction))
            normal = np.where(other_enter < enter, other_normal, normal)
            enter, leave = np.minimum(enter, other_enter), np.maximum(leave, other_leave)
        return enter, leave, normal

    return hit


def _miss_at_infinity(span: Span) -> Span:
    enter, leave, normal = span
    missed = ~(enter < leave)
    return np.where(missed, np.inf, enter), np.where(missed, -np.inf, leave), normal


def hits(span: Span) -> np.ndarray:
    """Indices of the rays that meet the solid ahead of their origin."""
    enter, leave, _ = span
    return np.flatnonzero((enter < leave) & (leave > 0))


def weights(
    solids: Sequence[Solid],
    room: Room,
    camera: Camera,
    angle: float,
    *,
    bound: Solid,
    size: int,
    supersample: int,
) -> np.ndarray:
    """Five weights a pixel for each solid: float64 [len(solids), 5, size, size].

    The sky's, floor's, wall's and object's colours are multiplied by the first four,
    white by the fifth; supersample² rays a pixel are filtered. `angle` is the
    camera's, in radians around the vertical. `bound` holds every solid: rays that
    miss it are cast once for all.
    """
    eye, forward, rays = _rays(camera, angle, size * supersample)
    background, floor, points, light = _empty_room(room, eye, forward, rays)
    near = hits(bound(eye, rays))
    dark = hits(bound(points, light))
    images = []
    for solid in solids:
        layers = background.copy()
        shadow = dark[hits(solid(points[:, dark], light[:, dark]))]
        layers[1, floor[shadow]] = room.floor[0]
        span = solid(eye, rays[:, near])
        seen = hits(span)
        pixels = near[seen]
        brightness, lit = _surface(
            room, room.object, eye + rays[:, pixels] * span[0][seen], span[2][:, seen], forward
        )
        layers[:, pixels] = 0
        layers[3, pixels] = brightness
        layers[4, pixels] = room.white * lit
        across = _shrink(layers.reshape(5, size * supersample, -1), size)
        images.append(_shrink(across.swapaxes(1, 2), size).swapaxes(1, 2))
    return np.stack(images)


def _empty_room(
    room: Room, eye: np.ndarray, forward: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Layers [5, P] without an object, and where the floor is seen.

    Also returns the floor's pixels [Q], their points [3, Q] and unit vectors to the light.
    """
    distance, normal = _walls(eye, rays)
    height = (eye + rays * distance)[2]
    layers = np.zeros((5, rays.shape[1]))
    layers[0] = height > room.wall_height

    wall = np.flatnonzero((height >= 0) & (height <= room.wall_height))
    layers[2, wall], _ = _surface(
        room, room.wall, eye + rays[:, wall] * distance[wall], normal[:, wall], forward
    )
    floor = np.flatnonzero(height < 0)
    points = eye - rays[:, floor] * eye[2] / rays[2, floor]
    light, spot = _light(room, points)
    layers[1, floor] = room.floor[0] + room.floor[1] * spot * light[2]
    return layers, floor, points, light


def _shrink(lines: np.ndarray, size: int) -> np.ndarray:
    """Lanczos-2 filter of the last axis down to `size`; cut off and renormalised at the ends."""
    count = lines.shape[-1]
    step = count // size
    total, norm = np.zeros((*lines.shape[:-1], size)), np.zeros(size)
    for tap in range(-2 * step, 3 * step):
        offset = (tap + 0.5) / step - 0.5  # pixels
        if abs(offset) < 2:
            ray = step * np.arange(size) + tap
            weight = np.sinc(offset) * np.sinc(offset / 2) * ((ray >= 0) & (ray < count))
            total += weight * lines[..., ray.clip(0, count - 1)]
            norm += weight
    return total / norm


def _rays(camera: Camera, angle: float, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eye [3, 1], forward [3] and unit directions [3, size²] of a square image, row by row."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    eye = turn @ [0, -camera.distance, camera.height]
    forward = turn @ [0, np.cos(camera.pitch), -np.sin(camera.pitch)]
    right = turn @ [1.0, 0, 0]
    up = np.cross(right, forward)
    offsets = ((np.arange(size) + 0.5) / size - 0.5) * 64 / camera.focal
    across, down = np.meshgrid(offsets, offsets)
    rays = (
        forward[:, None]
        + right[:, None] * across.reshape(1, -1)
        - up[:, None] * down.reshape(1, -1)
    )
    return eye[:, None], forward, rays / np.linalg.norm(rays, axis=0)


def _walls(eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [P] to the nearest wall and its inward normal [3, P]."""
    with np.errstate(divide="ignore"):
        side = (np.sign(rays[0]) - eye[0]) / rays[0]
        back = np.where(rays[1] > 0, (1 - eye[1]) / rays[1], np.inf)
    normal = np.zeros_like(rays)
    normal[0] = np.where(side < back, -np.sign(rays[0]), 0)
    normal[1] = np.where(side < back, 0, -1)
    return np.minimum(side, back), normal


def _light(room: Room, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [3, P] to the light and its brightness [P] there."""
    to_light = room.light[:, None] - points
    to_light = to_light / np.linalg.norm(to_light, axis=0)
    axis = room.light - room.target
    cosine = (axis / np.linalg.norm(axis)) @ to_light
    return to_light, np.maximum(cosine, 0) ** room.sharpness


def _surface(
    room: Room,
    material: tuple[float, float, float],
    points: np.ndarray,
    normal: np.ndarray,
    forward: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Brightness [P] of a surface, and whether the light reaches it [P]."""
    light, spot = _light(room, points)
    facing = (normal * light).sum(0)
    ambient, head, diffuse = material
    brightness = ambient + head * np.maximum(-forward @ normal, 0)
    return brightness + diffuse * spot * np.maximum(facing, 0), facing > 0
