"""benchmarks/gpu.py at toy size: rows come as they are measured, failures included."""

import json
import subprocess
import sys
import time

import gpu
import pytest


def test_the_plan_names_what_users_compare():
    found = gpu.jobs()
    for name in ("auto-256", "auto-1024", "stylegan-64", "stylegan3-t-256"):
        cases = found[name]["cases"]
        assert {c["jit"] for c in cases} == {True, False}
        assert {c["precision"] for c in cases} >= {"bfloat16", "tf32"}
    assert found["auto-256"]["preset"] == "stylegan2-ada"
    batches = {c["batch"] for c in found["auto-256"]["cases"]}
    assert batches == {8, 16, 32}


def job(*cases: dict, preset: str = "paper256") -> dict:
    return gpu.jobs(toy=True)["draw-256"] | {"preset": preset, "cases": list(cases)}


def test_a_step_and_a_drawing_are_measured_and_a_wrong_case_costs_its_row_alone():
    wrong = gpu.case("draw", -1, "tf32")
    step, draw = gpu.case("step", 4, "tf32"), gpu.case("draw", 2, "tf32")
    plain = gpu.case("convolution", 4)
    rows = list(gpu.rows_of(job(wrong, step, draw, plain), time.monotonic() + 300))
    assert "-1" in rows[0]["failed"]
    assert rows[1]["images_per_second"] > 0 and rows[1]["tflops"] > 0
    assert rows[1]["seconds_per_kimg"] == pytest.approx(
        1000 / rows[1]["images_per_second"]
    )
    assert rows[2]["images_per_second"] > 0 and rows[2]["peak_bytes"] is None
    assert rows[3]["tflops"] > 0


def fake_worker(monkeypatch, program: str) -> None:
    real = subprocess.Popen

    def start(command, **settings):
        return real([sys.executable, "-c", program, command[-1]], **settings)

    monkeypatch.setattr(gpu.subprocess, "Popen", start)


DIES = """
import json, os, sys
for i, case in enumerate(json.loads(sys.argv[1])["cases"]):
    print(json.dumps({"begins": i}), flush=True)
    if case["batch"] == 2:
        print("no memory left", file=sys.stderr, flush=True)
        os._exit(7)
    print(json.dumps({"row": {"images_per_second": case["batch"]}}), flush=True)
"""


def test_a_process_that_dies_costs_one_row(monkeypatch):
    fake_worker(monkeypatch, DIES)
    cases = [gpu.case("step", batch) for batch in (1, 2, 3)]
    rows = list(gpu.rows_of(job(*cases), time.monotonic() + 60))
    assert [r.get("images_per_second") for r in rows] == [1, None, 3]
    assert rows[1]["failed"] == "the process ended: no memory left"


def test_what_the_minutes_do_not_suffice_for_is_said(monkeypatch):
    fake_worker(
        monkeypatch, "import time; print('{\"begins\": 0}', flush=True); time.sleep(60)"
    )
    rows = list(gpu.rows_of(job(gpu.case("step", 1)), time.monotonic() + 2))
    assert [r["failed"] for r in rows] == ["the minutes were over"]


def test_the_table_shows_the_share_and_the_published_numbers():
    row = gpu.case("step", 16) | {"images_per_second": 50.0, "seconds_per_kimg": 20.0}
    row |= {"tflops": 3.0, "peak_bytes": 3 << 30, "first_call_seconds": 12.0}
    shown = gpu.line("auto-256", gpu.jobs()["auto-256"], row, {"bfloat16": 6.0})
    assert len(shown) == len(gpu.COLUMNS)
    assert shown[-4:] == ["3.00 GB", 3.0, "0.50", "12.53, 20.84"]
    failed = gpu.line("x", gpu.jobs()["draw-256"], row | {"failed": "why"}, {})
    assert len(failed) == len(gpu.COLUMNS) and "why" in failed
    assert json.dumps(shown)
