"""examples/quickstart.ipynb runs from top to bottom, on a run made tiny."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tiny
from nbclient import NotebookClient
from PIL import Image

from stylegan_tf import latents

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
SETTINGS = tiny.SETTINGS | {
    "data": "demo:24",
    "schedule.initial_resolution": 16,
    "schedule.total_kimg": 0.016,
}
TAKEN = ("generator.resolution", "discriminator.resolution")
TINY = f"""
KIMG, RESOLUTION, STEPS = 0.016, 16, 3
CHANGES = { ({k: v for k, v in SETTINGS.items() if k not in TAKEN})!r}
"""


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The notebook with what its cells put out, and the folder that it ran in."""
    notebook, folder = read(), tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_TF_CACHE", str(folder / "cache"))
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        [settings] = [c for c in notebook.cells if "parameters" in _tags(c)]
        settings.source += TINY
        where = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=300, resources=where).execute()
    return notebook, folder


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def pictures(notebook) -> dict[str, list[np.ndarray]]:
    """What the cells under each heading show."""
    found, heading = {}, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            heading = cell.source.splitlines()[0].lstrip("# ")
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                image = Image.open(io.BytesIO(base64.b64decode(png)))
                found.setdefault(heading, []).append(np.asarray(image))
    return found


def test_every_part_shows_its_pictures(ran):
    shown = pictures(ran[0])
    counts = {heading: len(images) for heading, images in shown.items()}
    parts = {"Draw": 1, "Mix styles": 1, "Truncate": 1, "Project": 2, "Export": 1}
    assert counts == parts
    assert all(np.ptp(image) > 0 for images in shown.values() for image in images)


def test_what_it_leaves_is_a_run_styles_and_an_export(ran):
    _, folder = ran
    [run] = (folder / "runs").glob("0*")
    assert (run / "sheet.png").is_file() and (run / "model").is_dir()
    assert latents.load_latents(folder / "projected.npz", 6, 8).ws.shape == (4, 6, 8)
    assert (folder / "exported" / "saved_model" / "saved_model.pb").is_file()


def test_the_notebook_as_it_stands_is_small_and_of_no_one_machine():
    assert NOTEBOOK.stat().st_size < 500_000
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/work/"))
    notebook = read()
    nbformat.validate(notebook)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error"]
    assert set(pictures(notebook)) >= {"Draw", "Mix styles", "Truncate", "Project"}
