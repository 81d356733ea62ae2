"""DCI, MIG and SAP in closed form; what each layer controls, against plain loops."""

import numpy as np
import pytest
import tiny
from scipy import stats
from workers import layer_control

from stylegan_tf import figures, latents
from stylegan_tf.config import GeneratorConfig, Growth
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import builtin_own
from stylegan_tf.metrics.scores import disentanglement
from stylegan_tf.networks.generator import Generator

N = 1000
RNG = np.random.default_rng(5)
CODES = RNG.uniform(-1, 1, (N, 4))
# Two continuous factors, two categorical ones, each in a code of its own.
KNOWN = {
    "a": CODES[:, 0],
    "b": 3 - 2 * CODES[:, 1],
    "c": (CODES[:, 2] > 0).astype(int),
    "d": np.digitize(CODES[:, 3], [-1 / 3, 1 / 3]),
}
ROTATION = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
NOISE = RNG.normal(size=(N, 4))


# ---------------------------------------------------------------------------
# Scores


def test_one_factor_a_code_scores_one():
    found = disentanglement.dci(CODES, KNOWN)
    assert found["d"] > 0.97 and found["c"] > 0.97 and found["i"] > 0.97
    assert disentanglement.mig(CODES[:, :2], {"a": KNOWN["a"]}) > 0.9
    assert disentanglement.sap(CODES, KNOWN) > 0.95


def test_mixed_codes_know_as_much_and_are_not_disentangled():
    found = disentanglement.dci(CODES @ ROTATION, KNOWN)
    assert found["d"] < 0.5 and found["c"] < 0.5 and found["i"] > 0.6
    assert disentanglement.mig(CODES @ ROTATION, KNOWN) < 0.3
    assert disentanglement.sap(CODES @ ROTATION, KNOWN) < 0.4


def test_codes_that_know_nothing_score_zero():
    found = disentanglement.dci(NOISE, KNOWN)
    assert abs(found["i"]) < 0.15 and found["d"] < 0.1 and found["c"] < 0.1
    assert disentanglement.mig(NOISE, KNOWN) < 0.02
    assert disentanglement.sap(NOISE, KNOWN) < 0.05


def test_one_code_for_two_factors_is_complete_and_not_disentangled():
    codes = np.stack([CODES[:, 0], NOISE[:, 0]], axis=1)
    both = {"a": CODES[:, 0], "b": -CODES[:, 0], "c": CODES[:, 0] ** 3}
    found = disentanglement.dci(codes, both)
    assert found["c"] > 0.95 and found["d"] < 0.05


def test_two_codes_for_one_factor_are_disentangled_and_not_complete():
    halves = np.stack([CODES[:, 0] + CODES[:, 1], CODES[:, 0] - CODES[:, 1]], axis=1)
    codes = np.hstack([halves, CODES[:, 2:3]])
    found = disentanglement.dci(codes, {"a": CODES[:, 0], "c": KNOWN["c"]})
    assert found["d"] > 0.9 and 0.5 < found["c"] < 0.75  # (1 + 1 - log 2 / log 3) / 2


def test_entropy_of_importances():
    rows = np.array([[1.0, 0, 0, 0], [2, 2, 2, 2], [3, 1, 0, 0], [0] * 4, [1, 1, 0, 0]])
    expected = [0, 1, stats.entropy([0.75, 0.25], base=4), 1, 0.5]
    np.testing.assert_allclose(disentanglement._entropies(rows), expected, atol=1e-12)


def test_mig_against_counts():
    """Mutual information in nats from the joint table, in NumPy."""

    def information(x, y):
        joint = np.histogram2d(x, y, bins=[np.arange(21) - 0.5] * 2)[0] / len(x)
        outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        own = joint > 0
        return np.sum(joint[own] * np.log(joint[own] / outer[own]))

    def bins(x):
        low, high = x.min(), x.max()
        return np.clip(np.floor((x - low) / (high - low) * 20), 0, 19)

    codes = CODES @ ROTATION
    told = sorted(information(bins(c), bins(KNOWN["a"])) for c in codes.T)
    own = information(bins(KNOWN["a"]), bins(KNOWN["a"]))
    found = disentanglement.mig(codes, {"a": KNOWN["a"]})
    np.testing.assert_allclose(found, (told[-1] - told[-2]) / own, rtol=1e-9)


def test_sap_of_a_continuous_factor_is_a_gap_of_squared_correlations():
    codes = CODES @ ROTATION
    told = sorted(stats.pearsonr(c, KNOWN["b"])[0] ** 2 for c in codes.T)
    found = disentanglement.sap(codes, {"b": KNOWN["b"]})
    np.testing.assert_allclose(found, told[-1] - told[-2], rtol=1e-9)


def test_probabilities_count_as_their_largest_and_what_is_constant_not_at_all():
    likely = 0.7 * np.eye(3)[KNOWN["d"]] + 0.1
    given = {"a": KNOWN["a"], "d": likely, "still": np.ones(N)}
    plain = {"a": KNOWN["a"], "d": KNOWN["d"]}
    assert disentanglement.dci(CODES, given) == disentanglement.dci(CODES, plain)
    assert disentanglement.sap(CODES, given) == disentanglement.sap(CODES, plain)


@pytest.mark.parametrize(
    ("codes", "values", "message"),
    [
        (CODES[:, :1], KNOWN["a"], "at least 10 x 2"),
        (CODES, KNOWN["a"][:5], "5 values of a"),
        (CODES, np.full(N, np.nan), "no factor varies|not finite"),
        (CODES, np.where(np.arange(N) == 3, np.inf, 0.0), "not finite"),
        (CODES, np.ones(N), "no factor varies"),
    ],
)
def test_what_cannot_be_scored_is_refused(codes, values, message):
    with pytest.raises(ValueError, match=message):
        disentanglement.mig(codes, {"a": values})
    with pytest.raises(ValueError):
        disentanglement.dci(codes, {"a": values})


# ---------------------------------------------------------------------------
# A model


class Seen:
    """Stands for a network: reads three plain numbers off a picture."""

    def factors(self, images):
        x = images.astype(np.float64).mean(axis=(1, 2)) / 255
        odds = np.exp(8 * x)
        return {
            "red": x[:, 0].astype(np.float32),
            "kind": odds / odds.sum(axis=1, keepdims=True),
        }


def generator(**changes) -> Generator:
    config = {"resolution": 8, "fmap_base": 64, "fmap_max": 8, "z_dim": 8, "w_dim": 8}
    config |= {"mapping_width": 8, "mapping_layers": 2}
    made = Generator(GeneratorConfig(**(config | changes)))
    rng = np.random.default_rng(2)
    for v in made.trainable_variables:  # styles that show
        v.assign(v.numpy() + 0.5 * rng.normal(size=v.shape))
    return tiny.noisy(made)


@pytest.fixture(scope="module")
def styled():
    return generator()


def shown(model, ws):
    return figures.to_uint8(np.asarray(model.synthesis(ws, noise="const")))


def test_shares_against_pictures_made_one_by_one(styled):
    table = layer_control.layer_table(
        styled, Seen(), pairs=6, groups=[[0, 1], range(4)], seed=3, own_error=False
    )
    z = latents.z_of(range(3, 15), 8)
    ws = styled.broadcast(styled.mapping(z)).numpy()
    whole, part = [], []
    for a, b in zip(ws[0::2], ws[1::2], strict=True):
        mixed = a.copy()
        mixed[2] = b[2]
        three = Seen().factors(shown(styled, np.stack([a, b, mixed])))["kind"]
        whole.append(np.sum((three[1] - three[0]) ** 2))
        part.append(np.sum((three[2] - three[0]) ** 2))
    row, column = table.factors.index("kind"), table.layers.index("8 a")
    found = table.share[row, column]
    np.testing.assert_allclose(found, np.mean(part) / np.mean(whole), rtol=0.02)
    assert table.layers == ("4 a", "4 b", "8 a", "8 b", "all 4", "4 to 8")
    assert (table.singles, table.resolutions) == (4, (4, 4, 8, 8))
    # All layers exchanged: the other picture, without an error.
    np.testing.assert_allclose(table.share[:, -1], 1)
    np.testing.assert_allclose(table.error[:, -1], 0, atol=1e-9)
    assert np.isnan(table.own_error).all() and (table.share > 0).all()


def test_a_layer_whose_style_is_not_used_has_no_share():
    model = generator()
    for v in model.synthesis.block8.epilogue1.trainable_variables:
        if v.shape[0] == 8 and v.shape.rank == 2:
            v.assign(np.zeros(v.shape))
    table = layer_control.layer_table(model, Seen(), pairs=4, own_error=False)
    np.testing.assert_array_equal(table.share[:, 3], 0)
    assert (table.share[:, 2] > 0).all()


def test_standard_errors_are_those_of_many_tries():
    rng = np.random.default_rng(0)
    whole = rng.gamma(2, 1, (400, 200))
    part = whole * rng.uniform(0, 0.6, whole.shape)
    tries = [
        layer_control._Sums(w, [p]).shares() for w, p in zip(whole, part, strict=True)
    ]
    share, error = np.array(tries)[:, :, 0].T
    np.testing.assert_allclose(share.mean(), 0.3, rtol=0.01)
    np.testing.assert_allclose(error.mean(), share.std(), rtol=0.1)


def test_center_is_the_mean_level():
    share = np.array([[1.0, 0, 0, 0, 9], [0, 1, 1, 0, 9], [1, 1, 1, 1, 9]])
    names = tuple("abc"), tuple("pqrst")
    table = layer_control.LayerTable(
        *names, share, share, share[:, 0], 4, (4, 8, 16, 32), 1
    )
    np.testing.assert_allclose(table.center(), [2, 3.5, 3.5])


def test_layers_of_stylegan2_and_of_a_model_that_still_grows(styled):
    model = generator(architecture="skip", use_noise=False)
    at = layer_control.layer_resolutions(model)
    assert layer_control.layer_names(model.config, at) == ["4 a", "8 a", "8 b", "8 rgb"]
    young = Generator(styled.config, Growth(4))
    assert layer_control.layer_resolutions(young) == [4, 4]


def test_one_style_for_all_and_unknown_layers_are_refused(styled):
    with pytest.raises(UserError, match="one style for all layers"):
        layer_control.layer_table(generator(use_styles=False), Seen())
    with pytest.raises(UserError, match="layer 4 of a group; the model has 4"):
        layer_control.layer_table(styled, Seen(), pairs=2, groups=[[3, 4]])
    with pytest.raises(UserError, match="at least 2"):
        layer_control.layer_table(styled, Seen(), pairs=1)


def test_the_shipped_network_confuses_little_of_what_is_plain_to_see():
    found = layer_control.confusion(builtin_own.load_builtin(), 32, 25)
    assert set(found) == set(layer_control.SHAPE + layer_control.COLOR)
    for name in ("class", "tilt", "skin", "hair", "background"):
        assert found[name] < 0.2
    assert all(value < 1.5 for value in found.values())


def test_measure_is_the_scores_of_the_codes_of_seeds(styled):
    found = disentanglement.measure_disentanglement(
        styled, Seen(), 40, ("z", "w", "w_pca"), seed=5
    )
    codes, seen = disentanglement.latents_and_factors(styled, Seen(), range(5, 45))
    np.testing.assert_array_equal(codes["z"], latents.z_of(range(5, 45), 8))
    np.testing.assert_allclose(codes["w"], styled.mapping(codes["z"]), atol=1e-5)
    covariance = np.cov(codes["w_pca"].T)
    own = np.sort(np.linalg.eigvalsh(np.cov(codes["w"].T)))[::-1]
    np.testing.assert_allclose(covariance, np.diag(own), atol=1e-6 * own[0])
    assert found["mig_w"] == disentanglement.mig(codes["w"], seen)
    assert found["dci_i_z"] == disentanglement.dci(codes["z"], seen, 5)["i"]
    assert found["sap_w_pca"] == disentanglement.sap(codes["w_pca"], seen)
    assert found["factors"] == 2 and len(found) == 3 * 5 + 1
    with pytest.raises(UserError, match="space 'x'"):
        disentanglement.measure_disentanglement(styled, Seen(), 40, ("x",))
    with pytest.raises(UserError, match="at least 10"):
        disentanglement.measure_disentanglement(styled, Seen(), 5)
