"""Who may import whom, what stays small, and which rooms have no TensorFlow in them."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import stylegan_tf

ROOT = Path(__file__).parents[1]
PACKAGE, LAUNCH = ROOT / "stylegan_tf", ROOT / "launch"
LONGEST = 60  # lines of a function

# Room (a module or a folder of the package) -> the rooms it may enter; and its own.
# A new room gets a row. Nothing lower here is imported by anything higher.
ROOMS = {
    "command_line": "",
    "errors": "command_line",
    "quiet": "",
    "progress": "",
    "signals": "",
    "trust": "errors",
    "files": "errors",
    "remote": "errors files",
    "mirror": "errors files remote",
    "checkpoints": "errors files",
    "config": "errors files",
    "formats": "errors files",
    "stateless": "",
    "augment": "errors stateless",
    "cluster": "errors",
    "devices": "errors cluster",
    "latents": "errors files config formats",
    "networks": "errors config stateless",
    "data": "errors files remote mirror config formats",
    "sampling": "errors config latents networks",
    "official": "errors files config formats networks",
    "training": "errors signals checkpoints config files devices networks data augment "
    "stateless",
    "hub": "errors",
    "pretrained": "",
    "model_files": "errors checkpoints files remote hub formats pretrained",
    "models": "errors files model_files config formats networks sampling official",
    "figures": "errors files latents sampling networks",
    "projector": "errors files formats latents figures sampling networks data training",
    "export": "errors checkpoints files remote quiet config devices formats "
    "latents networks sampling figures data models",
    "metrics": "errors checkpoints files remote config devices formats latents "
    "networks sampling figures data models",
    "explorer": "errors command_line trust config formats latents figures networks "
    "sampling projector",
    "serving": "errors signals trust config latents figures networks sampling",
    "runs": "errors quiet signals command_line files checkpoints remote mirror "
    "cluster config formats augment devices latents networks data sampling official "
    "training model_files models figures export metrics",
}
LOOSE = {
    "errors",
    "quiet",
    "progress",
    "signals",
    "stateless",
    "command_line",
    "trust",
    "files",
    "remote",
    "mirror",
    "cluster",
    "checkpoints",
    "hub",
    "devices",
    "model_files",
    "models",
}  # modules, not folders
# Inside `export`: formats know no cards, cards no formats, and `bundle` all of them.
EXPORT = {
    "program": "",
    "savedmodel": "program",
    "onnx": "program",
    "litert": "program",
    "single": "",
    "verify": "program",
    "provenance": "",
    "examples": "",
    "card": "examples provenance",
    "bundle": "card litert onnx provenance program savedmodel verify",
}
# Inside `training`: the engine knows no reports.
TRAINING = {
    "losses": "",
    "packing": "",
    "optimizer": "packing",
    "rounds": "",
    "compilation": "",
    "randomness": "rounds",
    "passes": "optimizer packing randomness",
    "objectives": "losses passes randomness",
    "step": "compilation objectives passes randomness rounds",
    "state": "passes",
    "ticks": "objectives step",
    "build": "optimizer passes",
    "divergence": "passes",
    "reporting": "",
    "reals": "",
    "variants": "compilation objectives passes step",
    "trainer": "build divergence objectives packing passes reals reporting "
    "state step ticks variants",
}
# Inside `runs`: reports are handed to the trainer, which does not know them.
RUNS = {
    "request": "",
    "arguments": "request",
    "callbacks": "reports",
    "settings": "",
    "owner": "",
    "rundir": "",
    "overview": "owner rundir",
    "comparison": "overview",
    "curves": "",
    "comparison_page": "comparison curves rundir",
    "comparison_sheets": "comparison",
    "sweep": "rundir",
    "transfer": "settings",
    "places": "request rundir",
    "fitting": "request",
    "plan": "fitting places request rundir settings transfer",
    "reports": "rundir",
    "guard": "reports",
    "previews": "reports",
    "event_files": "",
    "tensorboard": "event_files previews reports",
    "measuring": "reports",
    "dry_run": "plan request tensorboard",
    "duration": "reports request",
    "uploads": "reports request rundir",
    "train": "arguments callbacks request rundir session",
    "session": "duration guard measuring owner plan previews reports request rundir "
    "tensorboard transfer uploads",
}
# Inside `serving`: the model's side knows no web framework.
SERVING = {
    "requests": "",
    "queue": "requests",
    "drawing": "queue requests",
    "metrics": "",
    "service": "drawing metrics queue requests",
    "page": "",
    "guard": "app metrics",
    "app": "page queue requests service",
    "server": "app drawing guard service",
}
WITHIN = {"serving": SERVING, "training": TRAINING, "export": EXPORT, "runs": RUNS}
# What `--help` and workers load without loading TensorFlow: itself and all it imports.
WITHOUT_TENSORFLOW = [
    "errors",
    "quiet",
    "progress",
    "signals",
    "command_line",
    "trust",
    "files",
    "remote",
    "mirror",
    "checkpoints",
    "model_files",
    "config",
    "config.classes",
    "config.cost",
    "config.custom",
    "config.own_presets",
    "config.presets",
    "config.schedule",
    "config.limits",
    "config.weights",
    "formats",
    "formats.safe_pickle",
    "formats.safetensors_files",
    "formats.tfrecords",
    "formats.torch_files",
    "latents",
    "latents.directions",
    "figures",
    "figures.sheets",
    "figures.video",
    "official.rosinality",
    "official.tf_pickles",
    "official.torch_arguments",
    "official.torch_names",
    "official.torch_pickles",
    "official.writing",
    "augment.controller",
    "metrics.scores.distribution",
    "metrics.scores.manifold",
    "metrics.scores.memorization",
    "metrics.scores.separability",
    "metrics.suite",
    "metrics.tables",
    "metrics.features.files",
    "data.demo",
    "data.images",
    "data.metadata",
    "data.fields",
    "data.sources",
    "data.sources.labels",
    "data.manifest",
    "explorer.guard",
    "serving.app",
    "serving.guard",
    "serving.metrics",
    "serving.page",
    "serving.queue",
    "serving.requests",
    "serving.server",
    "serving.service",
    "explorer.state",
    "explorer.latest",
    "explorer.jobs",
    "explorer.style",
    "data.objects",
    "runs.arguments",
    "runs.comparison",
    "runs.comparison_page",
    "runs.overview",
    "runs.places",
    "runs.sweep",
    "runs.request",
    "runs.rundir",
    "runs.settings",
]
TENSORFLOW = {"tensorflow", "keras", "tensorboard", "tensorflow_datasets"}

FILES = sorted([*PACKAGE.rglob("*.py"), *LAUNCH.glob("*.py")])
OURS = [path for path in FILES if PACKAGE in path.parents]


def name_of(path: Path) -> str:
    """`networks.generator` of networks/generator.py, `networks` of its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(text: str, at_start: bool = False) -> set[str]:
    """Dotted names that a file imports, anywhere in it or only when it is loaded."""
    found, tree = set(), ast.parse(text)
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = "." * node.level + (node.module or "")
            found |= {f"{head}.{alias.name}" for alias in node.names}
    return found


def rooms(text: str, at_start: bool = False) -> set[str]:
    """The rooms of the package that a file imports from."""
    names = [name.split(".") for name in imports(text, at_start)]
    return {n[1] for n in names if n[0] == "stylegan_tf" and len(n) > 1}


def modules(text: str, room: str = "training") -> set[str]:
    start = f"stylegan_tf.{room}."
    return {n[len(start) :].split(".")[0] for n in imports(text) if n.startswith(start)}


def test_imports_are_seen_wherever_they_stand():
    text = """
import os.path, stylegan_tf.errors
from stylegan_tf import config as c, data
def f():
    from stylegan_tf.training.step import Step
    from . import here
"""
    assert imports(text) == {
        "os.path",
        "stylegan_tf.errors",
        "stylegan_tf.config",
        "stylegan_tf.data",
        "stylegan_tf.training.step.Step",
        "..here",
    }
    assert rooms(text) == {"errors", "config", "data", "training"}
    assert modules(text) == {"step"}


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_data_flows_one_way(path):
    text, room = path.read_text(), name_of(path).split(".")[0]
    if room == "__init__":  # it names what is public, and imports it when it is used
        assert not rooms(text, at_start=True)
        return
    assert room in ROOMS, f"{room} is new: give it a row in ROOMS"
    assert rooms(text) <= {room, "progress", *ROOMS[room].split()}
    outside = {name.split(".")[0] for name in imports(text)}
    assert not outside & {"launch", "stylegan_tf_launch", "absl", ""}
    assert room == "progress" or "tqdm" not in outside  # bars are silent in a log


def test_the_table_runs_one_way():
    seen = set()
    for room, below in ROOMS.items():
        assert set(below.split()) <= seen, room
        seen.add(room)


def test_modules_at_the_top():
    top = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert top == LOOSE
    assert top | folders == set(ROOMS)


@pytest.mark.parametrize(
    ("room", "name"), [(room, name) for room, rows in WITHIN.items() for name in rows]
)
def test_imports_inside_a_room(room, name):
    text = (PACKAGE / room / f"{name}.py").read_text()
    assert modules(text, room) <= set(WITHIN[room][name].split())


@pytest.mark.parametrize("room", WITHIN)
def test_every_module_has_a_row(room):
    found = {p.stem for p in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert found == set(WITHIN[room])


MODULES = {name_of(path): path for path in OURS}


def targets(name: str, at_start: bool = False) -> set[str]:
    """The modules of the package that a module imports."""
    out = set()
    for full in imports(MODULES[name].read_text(), at_start):
        parts = full.split(".")[1:] if full.startswith("stylegan_tf.") else []
        while parts and ".".join(parts) not in MODULES:
            parts = parts[:-1]
        out |= {".".join(parts)} if parts else set()
    return out - {name}


def packages(name: str) -> set[str]:
    """The packages that a module is in, which are loaded before it."""
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def reached(start: set[str], step: Callable[[str], set[str]]) -> set[str]:
    """Modules that `step` leads to from some of them, those included."""
    seen, left = set(), set(start)
    while left:
        seen |= left
        left = set().union(*(step(name) for name in left)) - seen
    return seen


def test_no_import_circle():
    """Not even behind an import inside a function."""
    graph = {name: targets(name) for name in MODULES}
    for name, found in graph.items():
        assert name not in reached(found, graph.get), f"{name} imports itself"


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_some_rooms_have_no_tensorflow(name):
    def loaded(name):
        return targets(name, at_start=True) | packages(name)

    for found in reached({name}, loaded):
        text = MODULES[found].read_text()
        top = {n.split(".")[0] for n in imports(text, at_start=found != name)}
        assert not top & TENSORFLOW, found


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


# What Keras defines: a layer's class docstring says what they take and return.
KERAS = {"build", "call", "compute_output_shape", "get_config", "from_config"}


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "networks").glob("*.py")), ids=name_of
)
def test_public_methods_of_layers_have_docstrings(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    known = method.name.startswith("_") or method.name in KERAS
                    setter = any("setter" in ast.dump(d) for d in method.decorator_list)
                    assert known or setter or ast.get_docstring(method), method.name


def test_iterators_of_tf_data_are_closed_at_once():
    """See `pipeline.untuned`: others wait for up to a minute when they are dropped."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "distribute_dataset" not in text, path
        for line in text.splitlines():
            assert "TFRecordDataset(" not in line or "untuned(" in line, line


# Modules and names that Windows does not have. `hasattr`, `getattr` and an import that
# may fail are how to use them.
POSIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
POSIX_NAMES = {"os.fork", "os.sync", "os.getuid", "os.geteuid", "os.mkfifo", "os.uname"}
POSIX_NAMES |= {"os.sched_getaffinity", "os.killpg", "os.setsid", "os.getpgid"}
POSIX_NAMES |= {
    f"signal.{name}" for name in ("SIGHUP", "SIGQUIT", "SIGKILL", "SIGALRM")
}
POSIX_NAMES |= {"signal.pthread_sigmask", "signal.setitimer", "signal.SIGUSR1"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.stem}.{p.stem}")
def test_nothing_of_unix_alone_is_needed(path):
    text = path.read_text(encoding="utf-8")
    assert not POSIX & {name.split(".")[0] for name in imports(text, at_start=True)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            guarded = f'hasattr({node.value.id}, "{node.attr}")' in text
            assert name not in POSIX_NAMES or guarded, name


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.stem}.{p.stem}")
def test_text_files_name_their_encoding(path):
    """Windows writes and reads another one if none is named."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        named = any(word.arg == "encoding" for word in node.keywords)
        if isinstance(node.func, ast.Attribute):
            least = {"read_text": 0, "write_text": 1}.get(node.func.attr)
            given = named or least is None or len(node.args) > least
            ours = getattr(node.func.value, "id", "") == "files"
            assert given or ours, f"line {node.lineno}"
        elif getattr(node.func, "id", "") == "open":
            modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
            text = len(node.args) < 2 or any("b" not in str(m) for m in modes)
            assert named or len(node.args) > 3 or not text, f"line {node.lineno}"


CLAUSE = re.compile(r"(What|Whether|Those|Which|How|Where|As|Of|With|And)\b")


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.stem}.{p.stem}")
def test_docstrings_begin_with_a_verb_or_a_noun(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            assert not CLAUSE.match(text), text.splitlines()[0]


def test_a_public_function_has_a_name_of_its_own():
    seen: dict[str, str] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"{seen[node.name]} and {name}"
                seen[node.name] = f"{name}.{node.name}"


@pytest.mark.parametrize("name", stylegan_tf.__all__)
def test_public_names_are_there(name):
    assert getattr(stylegan_tf, name).__doc__
    assert name in dir(stylegan_tf)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stylegan_tf.nothing  # noqa: B018


def test_requirements_list_what_others_leave_out():
    """TensorFlow needs tensorboard, and TFDS importlib_resources, without saying so."""
    text = (ROOT / "requirements.txt").read_text()
    names = {line.split("#")[0].split(">")[0].strip() for line in text.splitlines()}
    assert {"tensorflow", "tensorboard"} <= names
    (extra,) = re.findall(r"^TFDS = \[(.*)\]", (ROOT / "setup.py").read_text(), re.M)
    assert "tensorflow-datasets>" in extra and "importlib_resources>" in extra
