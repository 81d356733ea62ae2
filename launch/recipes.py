"""Recipes of pictures: generate.py writes them into PNGs, and reads them with --from.

A picture carries the flags that draw it, as JSON under `KEY`, and those that people
look for as texts of their own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from stylegan_tf_launch import parsing

import stylegan_tf
from stylegan_tf.errors import UserError

KEY = "stylegan_tf"
# Flags that a picture depends on. Nothing else is taken from a file.
FLAGS = ("model", "seeds", "classes", "label", "latents", "psi", "psi_center", "cutoff")
FLAGS += ("noise", "mix", "edit", "directions", "translate", "rotate", "enlarge")
FLAGS += ("each_class", "columns", "psi_sweep")
SHEETS = ("each_class", "columns", "psi_sweep")  # flags of several pictures


def picture_facts(
    values: flags.FlagValues, seeds: Sequence[int], classes: Sequence[int] | None
) -> dict[str, str]:
    """Returns the texts of a PNG.

    Args:
        values: flags of generate.py.
        seeds: of the picture, or of all pictures of a sheet.
        classes: class or label number of each; None without classes.
    """
    kind = "sheet" if values.grid or values.psi_sweep else "picture"
    given: dict[str, object] = {}
    for name in FLAGS:
        if values[name].present and (kind == "sheet" or name not in SHEETS):
            given[name] = values[name].value
    if not values.latents:
        given |= _subject(values, seeds, classes, kind)
    psi = values.psi or ("1" if values.latents else "0.7")
    texts = {"Software": f"stylegan_tf {stylegan_tf.__version__}"}
    texts |= {"Model": values.model, "Psi": values.psi_sweep or psi}
    for text, name in (("Seed", "seeds"), ("Class", "classes")):
        texts[text] = str(given.get(name) or "")
    texts |= {"Edits": "; ".join([*values.mix, *values.edit])}
    texts[KEY] = json.dumps({"kind": kind, "flags": given})
    return {name: text for name, text in texts.items() if text}


def _subject(
    values: flags.FlagValues,
    seeds: Sequence[int],
    classes: Sequence[int] | None,
    kind: str,
) -> dict[str, object]:
    """Returns the flags that name what is drawn: seeds, and classes or a label."""
    if kind == "sheet":
        return {"seeds": values.seeds or ("0-3" if values.psi_sweep else "0-31")}
    if classes is None:
        return {"seeds": str(seeds[0])}
    if values.label:
        label = values.label[classes[0] % len(values.label)]
        return {"seeds": str(seeds[0]), "label": [label]}
    return {"seeds": str(seeds[0]), "classes": str(classes[0])}


def draw_again(values: flags.FlagValues, picture: str) -> None:
    """Sets the flags that a picture was drawn with, but for those that are given.

    Args:
        values: flags of generate.py.
        picture: a PNG that generate.py has written.

    Raises:
        UserError: no such file, or nothing in it that generate.py can draw.
    """
    recipe = _read_recipe(picture)
    given = {name for name in FLAGS if values[name].present}
    if given & {"seeds", "latents"}:  # another subject
        given |= {"seeds", "latents", "classes", "label"}
    if given & {"classes", "label"}:
        given |= {"classes", "label"}
    if given & {"psi", "psi_sweep"}:
        given |= {"psi", "psi_sweep"}
    model = str(recipe["flags"].get("model", ""))
    if "model" not in given and "://" in model:
        raise UserError(
            f"{picture} was drawn by the model at {model}; say --model={model} if it "
            f"shall be fetched."
        )
    for name, value in recipe["flags"].items():
        if name in FLAGS and name not in given:
            _set_flag(values, name, value, picture)
    if recipe["kind"] == "sheet" and not values.grid and not values.psi_sweep:
        values["grid"].parse(str(Path(values.out) / Path(picture).name))
        values["out"].unparse()  # of pictures


def _set_flag(values: flags.FlagValues, name: str, value: object, picture: str) -> None:
    texts = value if isinstance(value, list) else [value]
    try:
        for text in texts:
            values[name].parse(text if isinstance(text, bool) else str(text))
    except flags.Error as error:
        raise UserError(f"{picture} cannot be drawn again: {error}") from error
    values[name].present += 1


def _read_recipe(picture: str) -> dict:
    from PIL import Image

    try:
        with Image.open(parsing.expand_home(picture), formats=["PNG"]) as image:
            text = image.info.get(KEY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"--from={picture} is no PNG that can be read.") from error
    try:
        recipe = json.loads(str(text)) if text else None
    except (ValueError, RecursionError):
        recipe = None
    if (
        not isinstance(recipe, dict)
        or recipe.get("kind") not in ("picture", "sheet")
        or not isinstance(recipe.get("flags"), dict)
    ):
        raise UserError(
            f"--from={picture} does not say how it was drawn; pictures of generate.py "
            f"do."
        )
    return recipe
