"""SavedModels, for TensorFlow programs, TensorFlow Serving and `saved_model_cli`.

    generate           z [N, z_dim], labels [N, classes], psi   ->  images uint8
    generate_seeds     seeds int64 [N], labels, psi             ->  images uint8
    map                z, labels                                ->  w float32 [N, w_dim]
    synthesize         ws [N, num_styles, w_dim]                ->  images uint8
    synthesize_floats  ws                                       ->  images float32
    serving_default    is generate

Images are [N, H, W, C], N is free. `labels` are one-hot; only conditional models have
them. psi is one number, or one per image: each row of a request to TensorFlow Serving
has its own. A signature needs all of its inputs; the functions of the same names on the
loaded object have the default psi=0.7.

A seed of `generate_seeds` gives the same image in every process, but not the image of
`generate.py`: its latents come from TensorFlow's stateless random numbers, the latents
of `generate.py` from NumPy's `RandomState`.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import files
from stylegan_tf.export.program import PSI, Program, stateless_normal, variables_of
from stylegan_tf.networks import ops

SERVING = "generate"  # the function behind `serving_default`


def save_savedmodel(program: Program, path: Path | str) -> None:
    """Writes a SavedModel with the signatures of the module's docstring."""
    module, concrete = tf.Module(name="stylegan_tf"), {}
    for name, (function, inputs) in _endpoints(program).items():
        checked = _checked(function, inputs)
        traced = tf.function(checked, autograph=False)
        concrete[name] = traced.get_concrete_function(*inputs)
        # Called where no other fits: TensorFlow's own message would list signatures.
        traced.get_concrete_function(*(tf.TensorSpec(None, s.dtype) for s in inputs))
        setattr(module, name, traced)
    module.weights = variables_of(concrete.values())
    signatures = concrete | {"serving_default": concrete[SERVING]}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.plain_alias(path.parent) as folder:
        tf.saved_model.save(module, str(folder / path.name), signatures)


def _endpoints(program: Program) -> dict[str, tuple[Callable, list[tf.TensorSpec]]]:
    """Returns name -> (function, its inputs)."""
    specs, labeled = program.specs(), bool(program.config.classes)
    labels = [specs["labels"]] if labeled else []
    seeds = tf.TensorSpec([None], tf.int64, "seeds")
    psi = tf.TensorSpec(None, tf.float32, "psi")  # [] or [N]

    def generate(z, labels, psi):
        return {"images": ops.uint8_images(program.generate(z, labels, psi))}

    def generate_seeds(seeds, labels, psi):
        z = stateless_normal(seeds, 0, (program.config.z_dim,))
        images = program.generate(z, labels, psi, program.noise_of(seeds))
        return {"images": ops.uint8_images(images)}

    # psi has a default, so its argument needs a name in either form.
    if labeled:
        by_z = lambda z, labels, psi=PSI: generate(z, labels, psi)  # noqa: E731
        by_seed = lambda seeds, labels, psi=PSI: generate_seeds(seeds, labels, psi)  # noqa: E731, E501
    else:
        by_z = lambda z, psi=PSI: generate(z, None, psi)  # noqa: E731
        by_seed = lambda seeds, psi=PSI: generate_seeds(seeds, None, psi)  # noqa: E731
    return {
        "generate": (by_z, [specs["z"], *labels, psi]),
        "generate_seeds": (by_seed, [seeds, *labels, psi]),
        "map": (lambda z, *label: {"w": program.map(z, *label)}, [specs["z"], *labels]),
        "synthesize": (
            lambda ws: {"images": ops.uint8_images(program.synthesize(ws))},
            [specs["ws"]],
        ),
        "synthesize_floats": (
            lambda ws: {"images": program.synthesize(ws)},
            [specs["ws"]],
        ),
    }


def _checked(function: Callable, inputs: list[tf.TensorSpec]) -> Callable:
    """Returns a function that says which input has a wrong shape, and what it takes."""

    @functools.wraps(function)
    def checked(*args):
        return function(*map(_expect, args, inputs))

    return checked


def _expect(value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Returns `value`, after an assertion that it has the rank and sizes of `spec`."""
    if spec.shape.rank is None:
        return value
    sizes = [-1 if n is None else n for n in spec.shape]
    # Hides the shape from TensorFlow, which would trust the signature, or find the
    # fault first and say it in its own words.
    hidden = tf.raw_ops.PlaceholderWithDefault(input=value, shape=None)
    given = tf.shape(hidden)
    padded = tf.concat([given, [0] * len(sizes)], 0)[: len(sizes)]
    fits = tf.reduce_all((padded == sizes) | (tf.constant(sizes) == -1))
    fits &= tf.equal(tf.size(given), len(sizes))
    shown = ", ".join("N" if n == -1 else str(n) for n in sizes)
    takes = f"this model takes [{shown}], {spec.dtype.name}"
    text = tf.strings.format(f"{spec.name} has the shape {{}}; {takes}", given)
    with tf.control_dependencies([tf.debugging.Assert(fits, [text])]):
        if value.shape.rank is None:
            return tf.reshape(hidden, sizes)
        return tf.identity(value)


def savedmodel_runner(
    path: Path | str,
) -> dict[str, Callable[..., dict[str, np.ndarray]]]:
    """Returns the signatures of a SavedModel as functions of arrays."""
    path = Path(path)
    with files.plain_alias(path.parent) as folder:
        loaded = tf.saved_model.load(str(folder / path.name))

    def call(name: str, **inputs) -> dict[str, np.ndarray]:
        tensors = {k: tf.constant(v) for k, v in inputs.items()}
        outputs = loaded.signatures[name](**tensors)
        return {k: v.numpy() for k, v in outputs.items()}

    def synthesize(**inputs) -> dict[str, np.ndarray]:
        floats = call("synthesize_floats", **inputs)["images"]
        return call("synthesize", **inputs) | {"floats": floats}

    names = ("generate", "generate_seeds", "map")
    calls = {n: lambda _name=n, **inputs: call(_name, **inputs) for n in names}
    return calls | {"synthesize": synthesize}
