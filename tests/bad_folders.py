"""Small folders of pictures for tests of what people feed to it."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

RGB = np.random.RandomState(0).randint(0, 256, (24, 16, 3), np.uint8)


def encoded(image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


PNG = encoded(RGB)


def make_folder(root: Path, names=("0.png", "1.png", "2.png"), **files) -> Path:
    """A folder of pictures, and of other files by name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (root / name).write_bytes(data)
    return root
