"""Write the edges of each image of /pfs/images to /pfs/out, as PNG of the same name."""

from pathlib import Path

from PIL import Image, ImageFilter

for path in sorted(Path("/pfs/images").rglob("*")):
    if path.is_file():
        edges = Image.open(path).convert("L").filter(ImageFilter.FIND_EDGES)
        edges.save(Path("/pfs/out") / f"{path.stem}.png")
