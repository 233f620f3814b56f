"""Put images side by side, each into a square: sheet.py SIZE IMAGE... SHEET."""

import sys
from pathlib import Path

from PIL import Image

size, images = int(sys.argv[1]), sys.argv[2:-1]
sheet = Image.new("RGB", (size * len(images), size), "skyblue")
for number, path in enumerate(images):
    picture = Image.open(Path(path)).convert("RGB")
    picture.thumbnail((size, size))
    sheet.paste(picture, (number * size, 0))
sheet.save(sys.argv[-1])
