"""Every reference number is looked at: a file that no test claims fails here.

A test claims a file by having it among its parameters; a module, by naming it.
"""

import inspect
import re
from pathlib import Path

import golden
import pytest
import test_data_official
import test_filters
import test_losses
import test_networks
import test_older_files
import test_ops
import test_path_length
import test_pickles
import test_pipeline
import test_schedule
import test_step
import test_stylegan2
import test_torch_networks
import test_torch_pickles

# What a file's name starts with -> tests and modules, one of which must look at it.
CLAIMS = {
    "v1_G_": [
        test_networks.test_official_images,
        test_networks.test_official_images_while_growing,
    ],
    "v1_D_": [test_networks.test_official_scores],
    "v1_loss_": [test_losses.test_official_gradients],
    "v1_trainfwd_": [test_networks.test_official_mixing],
    "v1_train_": [test_step],
    "v1_ops": [test_ops],
    "v1_schedule": [test_schedule],
    "v1_process_reals_images": [test_pipeline],
    "v1_pickle_": [test_pickles.test_official_files_are_read_exactly],
    "v2_G_": [test_stylegan2.test_official_pictures],
    "v2_D": [test_stylegan2.test_official_scores_and_gradients],
    "v2_loss_": [test_stylegan2],
    "v2_train_": [test_stylegan2],
    "v2_ops": [test_stylegan2],
    "v2_schedule": [test_schedule],
    "v1_ppl": [test_path_length.test_official_path_lengths],
    "v2_ppl": [test_path_length.test_official_path_lengths],
    "v2_pickle_": [test_pickles.test_official_files_are_read_exactly],
    "before_rooms/": [test_older_files],
    "ada_sg3/pt_ops": [test_filters],
    "ada_sg3/sg3_presets": [test_filters],
    "ada_sg3/adatf_": [test_torch_networks.test_files_of_tensorflow_draw_the_same],
    "ada_sg3/": [
        test_torch_networks.test_files_of_pytorch_draw_the_same,
        test_torch_pickles.test_official_files_are_read_exactly,
    ],
    "tfrecords/": [
        test_data_official.test_the_files_are_those_of_the_official_tools,
    ],
}
ABOUT = ("README.md", "TENSORS.txt", "compact.py")  # they hold no numbers

FILES = sorted(
    path.relative_to(golden.FOLDER).as_posix()
    for path in golden.FOLDER.rglob("*")
    if path.is_file() and path.suffix != ".pyc" and path.name not in ABOUT
)


def words(value) -> set[str]:
    """The texts in a parameter; of paths, their names."""
    if isinstance(value, str | Path):
        return {Path(value).name.removesuffix(".pkl")}
    return set().union(*map(words, value)) if isinstance(value, list | tuple) else set()


def named_by(test) -> set[str]:
    """Parameters of a test, or everything in quotation marks in a module."""
    if inspect.ismodule(test):
        return set(inspect.getsource(test).split('"'))
    marks = [m for m in test.pytestmark if m.name == "parametrize"]
    return set().union(*(words(list(m.args[1])) for m in marks))


def claimed(name: str) -> bool:
    """Whether a test looks at the file, or at the one that it is the numbers of."""
    prefix = max((p for p in CLAIMS if name.startswith(p)), key=len, default=None)
    found = set().union(*map(named_by, CLAIMS.get(prefix, [])))
    stem = Path(name.removesuffix(".gz")).stem
    if stem.endswith("_expected"):
        return any(text.startswith(stem.removesuffix("_expected")) for text in found)
    return bool(found & {stem, Path(name).name})


def check_rounding() -> None:
    """The tests' tolerances are far above the rounding of the numbers themselves."""
    for row in golden.table("noise_floor"):
        kind, what = row["tensor"].split("/")[:2]
        lengths = row["file"].endswith(
            "_ppl"
        )  # of differences, with a tolerance of 5e-2
        if kind == "out" and not lengths and float(row["rms"]) > 1e-6:
            tolerance = 1e-3 if what.startswith("grad") else 1e-4
            ratio = float(row["rms_diff"]) / float(row["rms"])
            assert 15 * ratio < tolerance, row


def check_later_rounding() -> None:
    """As `check_rounding`, of StyleGAN2-ADA's and StyleGAN3's numbers."""
    for row in golden.table("ada_sg3/noise_floor"):
        tight = row["tensor"].startswith("out/") and "/D/" not in row["tensor"]
        if tight and "fp16" not in row["tensor"] and float(row["rms_ref"]) > 1e-6:
            ratio = float(row["rms_diff"]) / float(row["rms_ref"])
            assert 5 * ratio < test_torch_networks.TIGHT, row


@pytest.mark.parametrize("name", FILES)
def test_every_reference_file_is_looked_at(name):
    stem = Path(name.removesuffix(".gz")).stem
    if name == "ada_sg3/noise_floor.csv":
        return check_later_rounding()
    if stem == "noise_floor":
        return check_rounding()
    assert claimed(name), f"no test looks at {name}: claim it in CLAIMS"
    return None


def test_a_file_that_nothing_looks_at_is_seen():
    for name in ("v3_G_r16.npz", "v2_G_r16_new.npz", "v2_new_expected.npz", "a.csv"):
        assert not claimed(name)


def test_what_a_clone_must_contain_is_there():
    """Files that are gone take their tests with them without a word."""
    text = (Path(__file__).parent / "goldens" / "compact.py").read_text()
    cases = re.findall(r'"(v\d_[^" ]+)": \d', text)
    assert len(cases) == 23
    kept = [f"{case}.npz" for case in cases]
    for version in ("v1", "v2"):
        kept += [f"{version}_pickle_r32_Gs_only.pkl"]
        kept += [f"{version}_pickle_r32_expected.npz"]
    text = (Path(__file__).parent / "goldens" / "ada_sg3" / "compact.py").read_text()
    later = re.findall(r'^    "(.+)",$', text, re.MULTILINE)
    kept += [f"ada_sg3/{n}" if ".pkl" in n else f"ada_sg3/{n}.npz" for n in later]
    assert len(later) == 18 and set(kept) <= set(FILES)
    assert golden.table("v1_schedule") and golden.table("v2_schedule")
