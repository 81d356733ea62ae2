"""Outputs of scripts at an address: a folder, a file, and what is there already."""

from pathlib import Path

import fsspec
import pytest
from absl import flags
from stylegan_tf_launch import cli, outputs

from stylegan_tf.errors import UserError


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TF_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def flags_of(out: str, name: str = "out") -> flags.FlagValues:
    values, define = cli.flag_set()
    define.path(name, None, "Folder.")
    values(["x", f"--{name}={out}"])
    return values


def write(values: flags.FlagValues, files: dict[str, str], name: str = "out") -> None:
    folder = Path(values[name].value)
    assert "memory" not in str(folder.anchor)
    for file, text in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)


def test_a_folder_is_uploaded_and_replaced(bucket, capsys):
    for text in ("one", "two"):
        values = flags_of("memory://b/out/")
        with outputs.outputs_at_addresses(values):
            write(values, {"seed0000.png": text})
        assert values["out"].value == "memory://b/out/"
        assert bucket.cat("/b/out/seed0000.png").decode() == text
    assert capsys.readouterr().out.count("uploaded to memory://b/out") == 2


def test_a_file_is_uploaded_alone(bucket):
    bucket.pipe("/b/other.txt", b"stays")
    values = flags_of("memory://b/film.mp4")
    with outputs.outputs_at_addresses(values):
        path = Path(values["out"].value)
        assert path.name == "film.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film")
    assert sorted(bucket.find("/b")) == ["/b/film.mp4", "/b/other.txt"]


def test_lists_go_on_where_they_were(bucket):
    bucket.pipe("/b/out/metrics.jsonl", b"1\n")
    values = flags_of("memory://b/out")
    with outputs.outputs_at_addresses(values):
        path = Path(values["out"].value) / "metrics.jsonl"
        path.write_text(path.read_text() + "2\n")
    assert bucket.cat("/b/out/metrics.jsonl") == b"1\n2\n"


def test_what_failed_is_not_uploaded_and_folders_here_are_left_alone(bucket, tmp_path):
    values = flags_of("memory://b/out")
    with pytest.raises(UserError), outputs.outputs_at_addresses(values):
        write(values, {"half.png": "x"})
        raise UserError("it cannot be done")
    assert not bucket.find("/b/out")
    here = flags_of(str(tmp_path / "here"))
    with outputs.outputs_at_addresses(here):
        assert here["out"].value == str(tmp_path / "here")


def test_a_data_set_is_not_put_among_other_files(bucket):
    bucket.pipe("/b/documents/letter.txt", b"mine")
    values = flags_of("memory://b/documents", "dest")
    refused = pytest.raises(UserError, match="holds 1 files and no data set; give")
    with refused, outputs.outputs_at_addresses(values):
        write(values, {"manifest.json": "{}"}, "dest")
    assert list(bucket.find("/b/documents")) == ["/b/documents/letter.txt"]
    values = flags_of("memory://b/new", "dest")
    for _ in range(2):  # the second time it is a data set
        with outputs.outputs_at_addresses(values):
            write(values, {"manifest.json": "{}"}, "dest")
