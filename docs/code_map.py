"""Draws the house: the rooms of the package by floor, and who imports whom.

    python docs/code_map.py code_map.svg

A room is a folder or a module of `stylegan_tf/`, and `launch/`. A room stands one floor
above the highest room that it imports. An arrow is an import; an import that other
arrows imply is left out of the picture and named in the room's tooltip. Everything is
read from the source text by `ast`: nothing is imported, and the same source gives the
same picture.
"""

import ast
import html
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "stylegan_tf"
OUTSIDE = ("launch",)  # folders beside the package

# ---------------------------------------------------------------------------
# The house: rooms and imports


@dataclass
class Room:
    """A folder or a module, with what its files say.

    Attributes:
        name: its name in the package.
        about: first sentence of its docstring.
        modules: its files.
        lines: their lines.
        imports: rooms that they import, anywhere in them.
    """

    name: str
    about: str = ""
    modules: int = 0
    lines: int = 0
    imports: set[str] = field(default_factory=set)


def read_house(root: Path = ROOT) -> dict[str, Room]:
    """Returns the rooms by name, with their imports."""
    rooms: dict[str, Room] = {}
    for path in _files(root):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = _room_of(path.relative_to(root))
        room = rooms.setdefault(name, Room(name))
        room.modules += 1
        room.lines += len(path.read_text(encoding="utf-8").splitlines())
        room.imports |= _imported(tree) - {name}
        if path.stem in ("__init__", name) and path.parent.name in (name, PACKAGE):
            room.about = _first_sentence(ast.get_docstring(tree) or "")
    for room in rooms.values():
        room.imports &= rooms.keys()
    return rooms


def _files(root: Path) -> list[Path]:
    paths = [p for p in (root / PACKAGE).rglob("*.py") if p.parent.name != PACKAGE]
    paths += [p for p in (root / PACKAGE).glob("*.py") if p.stem != "__init__"]
    for folder in OUTSIDE:
        paths += (root / folder).rglob("*.py")
    return sorted(paths)


def _room_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return parts[1] if parts[0] == PACKAGE else parts[0]


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = {n.split(".")[1] for n in names if n.startswith(f"{PACKAGE}.")}
    return found | {"launch" for n in names if n.startswith(f"{PACKAGE}_launch")}


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def floors(rooms: dict[str, Room]) -> dict[str, int]:
    """Returns each room's floor, from 1: one above the highest room it imports."""
    found: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in found:
            found[name] = 1 + max(map(floor, rooms[name].imports), default=0)
        return found[name]

    for name in sorted(rooms):
        floor(name)
    return found


def arrows(rooms: dict[str, Room]) -> list[tuple[str, str]]:
    """Returns the imports that no chain of other imports implies."""
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            direct = rooms[name].imports
            below[name] = direct.union(*(reach(other) for other in direct))
        return below[name]

    return [
        (name, other)
        for name in sorted(rooms)
        for other in sorted(rooms[name].imports)
        if not any(other in reach(via) for via in rooms[name].imports)
    ]


def house_table(rooms: dict[str, Room]) -> str:
    """Returns the rooms as a Markdown table, from the top floor down."""
    level = floors(rooms)
    lines = ["| floor | room | what it is for | imports |", "|---|---|---|---|"]
    for name in sorted(rooms, key=lambda name: (-level[name], name)):
        room = rooms[name]
        imports = ", ".join(sorted(room.imports)) or "nothing of the package"
        lines.append(f"| {level[name]} | `{name}` | {room.about} | {imports} |")
    return "\n".join(lines)


# ---------------------------------------------------------------------------
# The layout: Sugiyama's, in its four steps (Sugiyama et al. 1981). An arrow across
# several floors passes each floor in between at a joint, a node without a box.

BOX_WIDTH, BOX_HEIGHT, FLOOR_HEIGHT = 152, 50, 102
GAP, JOINT_WIDTH, MARGIN, ROOF = 22, 10, 84, 92


@dataclass
class Layout:
    """Where everything stands.

    Attributes:
        rows: nodes by floor from left to right; joints are pairs of names and a floor.
        x: center of each node.
        links: pairs of nodes on neighboring floors, the upper one first.
        paths: the nodes that each arrow passes, from the importing room down.
    """

    rows: dict[int, list]
    x: dict
    links: list[tuple]
    paths: list[list]


def make_layout(rooms: dict[str, Room]) -> Layout:
    """Returns places in which few arrows cross and none passes through a box."""
    level = floors(rooms)
    rows: dict[int, list] = {floor: [] for floor in range(1, max(level.values()) + 1)}
    for name in sorted(rooms):
        rows[level[name]].append(name)
    paths = []
    for upper, lower in arrows(rooms):
        joints = [(upper, lower, f) for f in range(level[upper] - 1, level[lower], -1)]
        for joint in joints:
            rows[joint[2]].append(joint)
        paths.append([upper, *joints, lower])
    links = [pair for path in paths for pair in zip(path, path[1:], strict=False)]
    _order(rows, links)
    return Layout(rows, _places(rows, links), links, paths)


def _order(rows: dict[int, list], links: list[tuple]) -> None:
    """Sorts each floor by the mean place of its neighbors, then swaps what helps."""
    best, fewest = {f: list(row) for f, row in rows.items()}, _crossings(rows, links)
    for sweep in range(24):
        place = {node: i for row in rows.values() for i, node in enumerate(row)}
        for floor in sorted(rows, reverse=sweep % 2 == 0):
            near = _neighbors(links, rows[floor])
            rows[floor].sort(key=lambda n: _mean((place[m] for m in near[n]), place[n]))
            place |= {node: i for i, node in enumerate(rows[floor])}
        _swap(rows, links)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = {f: list(row) for f, row in rows.items()}, crossings
    rows.update(best)


def _swap(rows: dict[int, list], links: list[tuple]) -> None:
    for row in rows.values():
        for i in range(len(row) - 1):
            before = _crossings(rows, links)
            row[i], row[i + 1] = row[i + 1], row[i]
            if _crossings(rows, links) >= before:
                row[i], row[i + 1] = row[i + 1], row[i]


def _crossings(rows: dict[int, list], links: list[tuple]) -> int:
    at = {node: (f, i) for f, row in rows.items() for i, node in enumerate(row)}
    ends = [(at[a][0], at[a][1], at[b][1]) for a, b in links]
    return sum(
        f == g and (i - k) * (j - m) < 0
        for n, (f, i, j) in enumerate(ends)
        for g, k, m in ends[:n]
    )


def _neighbors(links: list[tuple], row: list) -> dict:
    near: dict = {node: [] for node in row}
    for a, b in links:
        if a in near:
            near[a].append(b)
        if b in near:
            near[b].append(a)
    return near


def _mean(values: Iterable[float], default: float) -> float:
    values = list(values)
    return sum(values) / len(values) if values else default


def _places(rows: dict[int, list], links: list[tuple]) -> dict:
    """Moves each node towards the mean of its neighbors, as near as others let it."""
    x: dict = {}
    for row in rows.values():
        x |= dict(zip(row, _spread(row, [0.0] * len(row)), strict=True))
    for sweep in range(60):
        for floor in sorted(rows, reverse=sweep % 2 == 0):
            near = _neighbors(links, rows[floor])
            wanted = [_mean((x[m] for m in near[n]), x[n]) for n in rows[floor]]
            x |= dict(zip(rows[floor], _spread(rows[floor], wanted), strict=True))
    left = min(value - _width(node) / 2 for node, value in x.items())
    return {node: value - left + MARGIN for node, value in x.items()}


def _spread(row: list, wanted: list[float]) -> list[float]:
    """Returns the places nearest to those wanted that keep order and distance.

    Less the distances, that is isotonic regression: neighbors out of order are pooled.
    """
    offsets = [0.0]
    for a, b in zip(row, row[1:], strict=False):
        offsets.append(offsets[-1] + (_width(a) + _width(b)) / 2 + GAP)
    pools: list[list[float]] = []  # sum and count
    for value, offset in zip(wanted, offsets, strict=True):
        pools.append([value - offset, 1])
        while (
            len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]
        ):
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    flat = [total / count for total, count in pools for _ in range(int(count))]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def _width(node) -> float:
    return BOX_WIDTH if isinstance(node, str) else JOINT_WIDTH


# ---------------------------------------------------------------------------
# The picture

INK, SOFT, WALL, PAPER = "#1f2a44", "#66708a", "#d5d9e4", "#fbfbf9"
BANDS = ("#f1f3f8", "#fbfbf9")
COLORS = ("#e8ecf7", "#dce9f5", "#d6eee6", "#e3f0d3")  # from the first floor up
COLORS += ("#fbf0cd", "#fbe2cd", "#f7d6d6", "#efdcf0")
STYLE = f"""
.house text {{ font-family: Roboto, "Helvetica Neue", Arial, sans-serif; fill: {INK}; }}
.house .name {{ font-size: 15px; font-weight: 600; text-anchor: middle; }}
.house .size {{ font-size: 11px; fill: {SOFT}; text-anchor: middle; }}
.house .floor {{ font-size: 11px; fill: {SOFT}; }}
.house .arrow {{ fill: none; stroke: {SOFT}; stroke-width: 1.4; }}
.house .room rect {{ stroke: {INK}; stroke-width: 1.2; }}
"""


def draw_house(rooms: dict[str, Room]) -> str:
    """Returns the picture as the text of an SVG file."""
    layout = make_layout(rooms)
    top = max(layout.rows)
    width = max(x + _width(n) / 2 for n, x in layout.x.items()) + MARGIN / 2
    height = ROOF + FLOOR_HEIGHT * top + 16

    def y(floor: int) -> float:  # upper edge of a box
        return ROOF + FLOOR_HEIGHT * (top - floor) + (FLOOR_HEIGHT - BOX_HEIGHT) / 2

    parts = [
        f'<svg class="house" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {width:.0f} {height}" '
        f'aria-label="The rooms of {PACKAGE} and their imports">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0.8 L7.4,4 L0,7.2 z" fill="{SOFT}"'
        "/></marker></defs>",
        f'<rect width="{width:.0f}" height="{height}" rx="6" fill="{PAPER}"/>',
        *_walls(width, top),
        *_curves(layout, y),
        *(_box(rooms[n], layout.x[n], y(f), f) for f, n in _boxes(layout)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _boxes(layout: Layout) -> list[tuple[int, str]]:
    return [(f, n) for f, row in layout.rows.items() for n in row if isinstance(n, str)]


def _walls(width: float, top: int) -> list[str]:
    left, right = 14, width - 14
    parts = [
        f'<path d="M{left},{ROOF} L{width / 2:.0f},14 L{right:.0f},{ROOF} z" '
        f'fill="{BANDS[top % 2]}" stroke="{WALL}" stroke-width="1.5"/>',
        f'<text class="name" x="{width / 2:.0f}" y="64" style="font-size: 20px">'
        f"{PACKAGE}</text>",
    ]
    for floor in range(1, top + 1):
        y = ROOF + FLOOR_HEIGHT * (top - floor)
        parts.append(
            f'<rect x="{left}" y="{y}" width="{right - left:.0f}" '
            f'height="{FLOOR_HEIGHT}" fill="{BANDS[floor % 2]}" stroke="{WALL}" '
            f'stroke-width="1.5"/><text class="floor" x="{left + 8}" '
            f'y="{y + FLOOR_HEIGHT / 2 + 4:.0f}">floor {floor}</text>'
        )
    return parts


def _box(room: Room, x: float, y: float, floor: int) -> str:
    count = f"{room.modules} modules" if room.modules > 1 else "1 module"
    imports = ", ".join(sorted(room.imports)) or "nothing of the package"
    title = html.escape(f"{room.about}. Imports {imports}.")
    color = COLORS[min(floor, len(COLORS)) - 1]
    return (
        f'<g class="room" data-room="{room.name}"><title>{title}</title>'
        f'<rect x="{x - BOX_WIDTH / 2:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="7" fill="{color}"/>'
        f'<text class="name" x="{x:.1f}" y="{y + 22:.1f}">{room.name}</text>'
        f'<text class="size" x="{x:.1f}" y="{y + 39:.1f}">{count} · '
        f"{room.lines:,} lines</text></g>"
    )


def _curves(layout: Layout, y) -> list[str]:
    level = {node: f for f, row in layout.rows.items() for node in row}
    leave, enter = _ports(layout, 0, 1), _ports(layout, 1, 0)
    parts = []
    for path in layout.paths:
        start = (leave[path[0], path[1]], y(level[path[0]]) + BOX_HEIGHT)
        d = f"M{start[0]:.1f},{start[1]:.1f}"
        for a, b in zip(path, path[1:], strict=False):
            x0 = leave[a, b] if isinstance(a, str) else layout.x[a]
            x1 = enter[a, b] if isinstance(b, str) else layout.x[b]
            y0, y1 = y(level[a]) + BOX_HEIGHT, y(level[b]) - (isinstance(b, str) and 1)
            bend = (y1 - y0) * 0.55
            d += (
                f" C{x0:.1f},{y0 + bend:.1f} {x1:.1f},{y1 - bend:.1f} {x1:.1f},{y1:.1f}"
            )
            if not isinstance(b, str):
                d += f" V{y1 + BOX_HEIGHT:.1f}"
        ends = f'data-from="{path[0]}" data-to="{path[-1]}"'
        parts.append(f'<path class="arrow" {ends} marker-end="url(#head)" d="{d}"/>')
    return parts


def _ports(layout: Layout, near: int, far: int) -> dict[tuple, float]:
    """Returns where links meet a box, spread along its edge from left to right."""
    ports = {}
    for node, x in layout.x.items():
        links = sorted(
            (link for link in layout.links if link[near] == node),
            key=lambda link: layout.x[link[far]],
        )
        step = min(24, (BOX_WIDTH - 24) / max(len(links) - 1, 1))
        for i, link in enumerate(links):
            ports[link] = x + (i - (len(links) - 1) / 2) * step
    return ports


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw_house(read_house()), encoding="utf-8")
