"""Writes a generator as one file, `.keras` or `.safetensors`, and reads it again.

A `.safetensors` file has the weights by our names. The settings stand as JSON in its
metadata, so that `models.load` makes the same generator from the file alone.
"""

import json
from pathlib import Path

from stylegan_tf import models
from stylegan_tf.errors import UserError
from stylegan_tf.files import atomic_write
from stylegan_tf.formats.safetensors_files import SUFFIX, write_safetensors
from stylegan_tf.networks.block import weight_name
from stylegan_tf.networks.generator import Generator


def save_generator(generator: Generator, path: Path | str) -> None:
    """Writes a generator and keeps the file if the same generator comes back.

    Args:
        generator: float32.
        path: ends in `.keras` or `.safetensors`; an existing file is replaced.

    Raises:
        UserError: a library is missing, or the file did not come back as written.
    """
    path = Path(path)
    with atomic_write(path) as draft:
        if path.suffix == SUFFIX:
            _write(generator, draft)
        else:
            generator.save(draft)
        again = models.load(draft)
        same = again.config == generator.config and again.growth == generator.growth
        arrays, found = _arrays(generator), _arrays(again)
        same = same and set(found) == set(arrays)
        if not same or any((found[k] != arrays[k]).any() for k in arrays):
            raise UserError(
                f"{path} did not come back as it was saved; it is not kept."
            )


def _write(generator: Generator, path: Path) -> None:
    settings = generator.get_config()
    kept = {key: settings[key] for key in ("config", "level", "alpha")}
    about = {models.GENERATOR_KEY: json.dumps(kept)}
    write_safetensors(path, _arrays(generator), about)


def _arrays(generator: Generator) -> dict:
    return {weight_name(v): v.numpy() for v in generator.weights}
