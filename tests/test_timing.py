"""timing.py: turns are taken, and the first does not count."""

from stylegan_tf.training import timing


def test_medians_of_turns_without_the_first(monkeypatch):
    now, said = [0.0], []
    lengths = {"a": iter([50.0, 1.0, 9.0, 2.0]), "b": iter([60.0, 4.0, 3.0, 5.0])}

    def work(name):
        said.append(name)
        now[0] += next(lengths[name])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    turns = {name: lambda n=name: work(n) for name in lengths}
    assert timing.in_turns(turns, 3) == {"a": 2.0, "b": 4.0}
    assert said == ["a", "b"] * 4
