"""Double-clicks the only item of a file manager's window: double_click.py CLASS

Where the item is, depends on fonts, icons and themes. So this program lets the file manager show it: it selects everything,
and looks which part of the window changed. A status bar that changes, too, is less tall than an icon with its name."""

import subprocess
import sys
import time

CELL = 8  # pixels: smaller gaps than this do not divide what changed
LIMIT = 30  # seconds


def xdotool(*args, check=True):
    return subprocess.run(["xdotool", *map(str, args)], check=check, capture_output=True, text=True).stdout


def until(what, probe):
    end = time.monotonic() + LIMIT
    while not (value := probe()):
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {LIMIT} s")
        time.sleep(0.05)
    return value


def geometry(window):
    pairs = (line.split("=") for line in xdotool("getwindowgeometry", "--shell", window).split())
    values = {name: int(value) for name, value in pairs}
    return [values[name] for name in ("X", "Y", "WIDTH", "HEIGHT")]


def grab(area):
    x, y, width, height = area
    command = f"ffmpeg -v error -f x11grab -draw_mouse 0 -video_size {width}x{height} -i :0+{x},{y} -frames:v 1 -f rawvideo"
    return subprocess.run([*command.split(), "-pix_fmt", "rgb24", "-"], check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def still(area, other_than=None, keys=None):
    """A picture of a window that has stopped to change, and that differs from another picture. `keys` are pressed again and
    again: a window that still reads its folder does not take them."""
    last = [None]

    def probe():
        if keys and last[0] in (None, other_than):
            xdotool("key", keys)
        now = grab(area)
        same, last[0] = now == last[0], now
        return now if same and now != other_than else None

    return until("a window that stands still", probe)


def changed(area, one, other):
    """The tallest part that changed: left, top, right and bottom in the window."""
    _, _, width, height = area
    cells = set()
    for y in range(height):
        for x in range(0, width, CELL):
            at = slice((y * width + x) * 3, (y * width + min(x + CELL, width)) * 3)
            if one[at] != other[at]:
                cells.add((x // CELL, y // CELL))
    parts = []
    while cells:
        part, new = set(), [cells.pop()]
        while new:
            x, y = new.pop()
            part.add((x, y))
            near = {(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & cells
            cells -= near
            new += near
        parts.append(part)
    boxes = []
    for part in parts:
        columns, rows = [x for x, _ in part], [y for _, y in part]
        boxes.append([CELL * n for n in (min(columns), min(rows), max(columns) + 1, max(rows) + 1)])
    return max(boxes, key=lambda box: box[3] - box[1])


search = ["search", "--onlyvisible", "--class", sys.argv[1]]
window = until("a window", lambda: xdotool(*search, check=False).split())[-1]
xdotool("windowactivate", "--sync", window)
area = geometry(window)
# No item is under the pointer.
xdotool("mousemove", area[0] + area[2] // 2, area[1] + 2)
selected = still(area, still(area), "ctrl+a")
before = still(area, selected, "Escape")
left, top, right, bottom = changed(area, before, selected)
# The icon, and not the name below: a click on the name of a selected item may begin to rename it.
x, y = area[0] + (left + right) // 2, area[1] + top + (bottom - top) // 3
xdotool("mousemove", x - 40, y + 25, "mousemove", x - 3, y + 2, "mousemove", x, y)
xdotool("click", "--repeat", 2, "--delay", 120, 1)
print(f"double click at {x},{y} on {right - left}x{bottom - top} pixels")
