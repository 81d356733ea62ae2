"""metrics/suite.py and metrics/features: metrics and networks by name."""

import pytest

from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite
from stylegan_tf.metrics.features import open_network


@pytest.mark.parametrize(
    ("name", "num", "found"),
    [
        ("fid50k", 50_000, "fid50k"),
        ("fid5k", 5000, "fid5k"),
        ("fid1234_full", 1234, "fid1234_full"),
        ("kid10k", 10_000, "kid10k"),
        ("is50k", 50_000, "is50k"),
        ("pr5k3", 5000, "pr5k3"),
        ("pr50k3_full", 50_000, "pr50k3_full"),
        ("mem5k", 5000, "mem5k"),
        ("ppl_zfull", 100_000, "ppl_zfull"),
        ("ppl100k_wend", 100_000, "ppl_wend"),
        ("ppl5k_wend", 5000, "ppl5k_wend"),
        ("ppl2_wend", 50_000, "ppl2_wend"),
        ("ppl2_5k_wend", 5000, "ppl2_5k_wend"),
        ("ls", 200_000, "ls"),
        ("ls5k", 5000, "ls5k"),
        ("dci", 4000, "dci"),
        ("mig4k", 4000, "mig"),
        ("sap500", 500, "sap500"),
        ("eqt50k_int", 50_000, "eqt50k_int"),
        ("eqt2k_frac", 2000, "eqt2k_frac"),
        ("eqr50k", 50_000, "eqr50k"),
    ],
)
def test_names_say_how_many_pictures(name, num, found):
    (request,) = suite.parse_metrics(name)
    assert (request.num, request.name) == (num, found)


def test_num_renames():
    names = [
        r.name for r in suite.parse_metrics("fid50k,ppl_wend,ls,pr50k3_full", 5000)
    ]
    assert names == ["fid5k", "ppl5k_wend", "ls5k", "pr5k3_full"]
    every = suite.parse_metrics(["all", "fid50k"])
    assert len(every) == len(suite.METRICS) and len({r.name for r in every}) == 20


@pytest.mark.parametrize(
    "name", ["fid", "fid0k", "fid5K", "pr50k", "ppl_end", "", "FID"]
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match="there is no metric .* of fid50k, fid50k_full"):
        suite.parse_metrics([name])
    with pytest.raises(UserError, match="--num=0 is no number"):
        suite.parse_metrics("fid50k", 0)


def test_networks_by_name():
    assert open_network("random", channels=1).name == "random-v1"
    for wrong in ("inception", "keras:", "randm", "random:2", "builtin:x"):
        with pytest.raises(
            UserError, match="choose one of builtin, random, efficientnet"
        ):
            open_network(wrong)
