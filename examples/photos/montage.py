"""Write /pfs/out/montage.png: every photo in /pfs/photos above its outlines in /pfs/edges."""

import os
from pathlib import Path

from PIL import Image

CELL = 240
root = Path(os.environ.get("PFS", "/pfs"))
out = Path(os.environ.get("PFS_OUT", "/pfs/out"))


def cell(path: Path) -> Image.Image:
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((CELL, CELL))
    return picture


photos = [photo for photo in sorted((root / "photos").rglob("*")) if photo.is_file()]
columns = min(5, max(len(photos), 1))
rows = -(-len(photos) // columns)
sheet = Image.new("RGB", (columns * CELL, 2 * rows * CELL), "white")
for index, photo in enumerate(photos):
    x, y = index % columns * CELL, index // columns * 2 * CELL
    sheet.paste(cell(photo), (x, y))
    sheet.paste(cell(root / "edges" / f"{photo.stem}.png"), (x, y + CELL))
sheet.save(out / "montage.png")
print(f"{len(photos)} photos on one sheet of {sheet.width} x {sheet.height} pixels")
