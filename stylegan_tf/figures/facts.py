"""Texts that a PNG carries: model, seeds, psi, edits, and how to draw it again.

    save_image(path, image, picture_texts("picture", {"model": "runs/0", "seeds": "7"}))

The recipe is JSON under `KEY`: the flags of the script that draws the picture again.
No TensorFlow.
"""

import json
from collections.abc import Mapping, Sequence

import stylegan_tf

KEY = "stylegan_tf"


def picture_texts(
    kind: str, flags: Mapping[str, object], **texts: object
) -> dict[str, str]:
    """Returns the texts of a PNG.

    Args:
        kind: "picture" or "sheet", which launch/generate.py draws again, or "figure",
            which launch/figures.py does.
        flags: of that script, by name, with which it draws the picture.
        **texts: further ones, or others than those that follow from the flags.
    """
    edits = [t for name in ("mix", "edit", "drag") for t in _texts(flags.get(name))]
    found = {
        "Software": f"stylegan_tf {stylegan_tf.__version__}",
        "Model": flags.get("model"),
        "Seed": flags.get("seeds"),
        "Class": flags.get("classes"),
        "Psi": flags.get("psi_sweep") or flags.get("psi"),
        "Edits": "; ".join(edits),
    }
    found |= texts
    found[KEY] = json.dumps({"kind": kind, "flags": dict(flags)})
    return {name: str(x) for name, x in found.items() if x not in (None, "", [])}


def _texts(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, Sequence) else []
