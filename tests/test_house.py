"""Who may import whom, what stays small, and which rooms have no TensorFlow in them."""

import ast
from pathlib import Path

import pytest

import stylegan_tf

ROOT = Path(__file__).parents[1]
PACKAGE, LAUNCH = ROOT / "stylegan_tf", ROOT / "launch"
LONGEST = 60  # lines of a function

# Room (a module or a folder of the package) -> the rooms it may enter; and its own.
# A new room gets a row. Nothing lower here is imported by anything higher.
ROOMS = {
    "errors": "",
    "config": "errors",
    "schedule": "config errors",
    "presets": "config errors",
    "files": "errors",
    "precision": "",
    "latents": "errors files",
    "figures": "files",
    "video": "errors files figures",
    "directions": "errors files",
    "lineup": "errors sampling networks",
    "steering": "errors latents directions sampling networks",
    "paper": "errors latents figures directions steering sampling networks",
    "ops": "",
    "recompute": "ops",
    "augment": "errors",
    "explorer": "config errors latents figures directions steering sampling networks",
    "losses": "recompute",
    "layers": "ops recompute",
    "networks": "config ops layers recompute",
    "official": "config errors networks",
    "data": "config errors",
    "export": "config errors schedule files latents figures ops networks official data "
    "sampling precision",
    "metrics": "errors files config latents ops networks data export official sampling",
    "projector": "errors files latents figures ops networks sampling",
    "sampling": "errors config latents ops networks",
    "training": "config errors files schedule presets latents figures ops losses "
    "recompute augment networks data export sampling official metrics",
}
# Inside `export`: formats know no cards, cards no formats, and `bundle` all of them.
EXPORT = {
    "loading": "",
    "program": "",
    "quiet": "",
    "examples": "",
    "savedmodel": "program",
    "onnx": "program",
    "litert": "program",
    "measure": "program",
    "origin": "loading",
    "card": "examples origin",
    "bundle": "card litert loading measure onnx origin program quiet savedmodel",
}
# Inside `training`: reports are handed to the trainer, which does not know them.
TRAINING = {
    "optimizer": "",
    "planning": "",
    "timing": "",
    "modulation": "timing",
    "compiling": "costs passes step timing trainer",
    "devices": "",
    "rundir": "",
    "draws": "",
    "passes": "draws optimizer",
    "costs": "draws passes",
    "step": "costs draws passes",
    "state": "passes rundir",
    "trainer": "costs devices optimizer passes state step",
    "reports": "planning",
    "transfer": "passes rundir",
    "measuring": "devices reports",
    "session": "compiling devices measuring modulation planning reports rundir "
    "trainer transfer",
}
WITHOUT_TENSORFLOW = (
    "errors",
    "files",
    "schedule",
    "presets",
    "latents",
    "figures",
    "video",
)
WITHOUT_TENSORFLOW += ("directions",)
WITHOUT_TENSORFLOW += ("config.__init__", "config.fields", "config.networks")
WITHOUT_TENSORFLOW += ("config.run", "config.sizes", "config.checks")
WITHOUT_TENSORFLOW += ("official.pickles", "official.machine", "official.writing")
WITHOUT_TENSORFLOW += ("metrics.distribution", "metrics.manifold", "metrics.suite")
WITHOUT_TENSORFLOW += ("metrics.separability", "metrics.tables", "augment.controller")
WITHOUT_TENSORFLOW += ("official.torch_files", "metrics.published.files")
WITHOUT_TENSORFLOW += ("data.demo", "data.painting", "data.pictures", "data.labels")
WITHOUT_TENSORFLOW += ("explorer.state", "explorer.latest", "explorer.look")
WITHOUT_TENSORFLOW += ("data.manifest", "training.planning", "training.rundir")

FILES = sorted([*PACKAGE.rglob("*.py"), *LAUNCH.glob("*.py")])
OURS = [path for path in FILES if PACKAGE in path.parents]


def name_of(path: Path) -> str:
    """`networks.generator` of stylegan_tf/networks/generator.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(text: str) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = "." * node.level + (node.module or "")
            found |= {f"{head}.{alias.name}" for alias in node.names}
    return found


def rooms(text: str) -> set[str]:
    """The rooms of the package that a file imports from."""
    ours = [n.split(".") for n in imports(text) if n.split(".")[0] == "stylegan_tf"]
    return {parts[1] for parts in ours if len(parts) > 1}


def modules(text: str, room: str = "training") -> set[str]:
    start = f"stylegan_tf.{room}."
    return {n[len(start) :].split(".")[0] for n in imports(text) if n.startswith(start)}


def test_imports_are_seen_wherever_they_stand():
    text = """
import os.path, stylegan_tf.ops
from stylegan_tf import config as c, data
def f():
    from stylegan_tf.training.step import Step
    from . import here
"""
    assert imports(text) == {
        "os.path",
        "stylegan_tf.ops",
        "stylegan_tf.config",
        "stylegan_tf.data",
        "stylegan_tf.training.step.Step",
        "..here",
    }
    assert rooms(text) == {"ops", "config", "data", "training"}
    assert modules(text) == {"step"}


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_data_flows_one_way(path):
    text, room = path.read_text(), name_of(path).split(".")[0]
    if room == "__init__":
        assert not rooms(text)  # it names what is public, and imports it by name
        return
    assert room in ROOMS, f"{room} is new: give it a row in ROOMS"
    assert rooms(text) <= {room, *ROOMS[room].split()}
    outside = {name.split(".")[0] for name in imports(text)}
    assert not outside & {"launch", "stylegan_tf_launch", "absl", ""}


@pytest.mark.parametrize("name", TRAINING)
def test_training_knows_no_reports(name):
    text = (PACKAGE / "training" / f"{name}.py").read_text()
    assert modules(text) <= set(TRAINING[name].split())


@pytest.mark.parametrize("name", EXPORT)
def test_formats_of_export_know_no_cards(name):
    text = (PACKAGE / "export" / f"{name}.py").read_text()
    assert modules(text, "export") <= set(EXPORT[name].split())


@pytest.mark.parametrize(("room", "rows"), [("training", TRAINING), ("export", EXPORT)])
def test_every_module_has_a_row(room, rows):
    found = {p.stem for p in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert found == set(rows)


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_some_rooms_have_no_tensorflow(name):
    path = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")
    top = {n.split(".")[0] for n in imports(path.read_text())}
    assert not top & {"tensorflow", "keras", "tensorboard", "tensorflow_datasets"}
    checked = (
        "data",
        "training",
        "config",
        "official",
        "augment",
        "metrics",
        "explorer",
    )  # module by module
    reached = {r for r in rooms(path.read_text()) if r not in checked}
    assert reached <= set(WITHOUT_TENSORFLOW)


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.stem}.{path.stem}"
)
def test_modules_explain_themselves_and_functions_are_short(path):
    assert path.name not in ("utils.py", "util.py", "helpers.py", "misc.py")
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not path.read_text().strip()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST, f"{node.name} has {length} lines"


@pytest.mark.parametrize("name", stylegan_tf.__all__)
def test_public_names_are_there(name):
    assert getattr(stylegan_tf, name).__doc__ or name == "PRESETS"
    assert name in dir(stylegan_tf)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stylegan_tf.nothing  # noqa: B018


def test_requirements_list_what_others_leave_out():
    """TensorFlow needs tensorboard, and TFDS importlib_resources, without saying so."""
    text = (ROOT / "requirements.txt").read_text()
    names = {line.split("#")[0].split(">")[0].strip() for line in text.splitlines()}
    assert {"tensorflow", "tensorboard"} <= names
    assert {"tensorflow-datasets", "importlib_resources"} <= names
