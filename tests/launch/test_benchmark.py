"""Every benchmark at its smallest size: rows that add up, and clear errors."""

import json
import sys

import jax
import pytest

from devae_jax.launch.benchmarks import (
    data,
    devices,
    gpu,
    loader,
    loop,
    measure,
    metrics,
    population,
    runs,
    step,
)
from devae_jax.program import plan as programs
from tests.launch.commands import call

TINY = measure.Options(tiny=True, minutes=0.0)


@pytest.mark.parametrize(
    "benchmark, cases",
    [
        (data, {"toy, batch 8", "streamed, batch 8"}),
        (metrics, {"mig", "all of these"}),
        pytest.param(
            loader,
            {f"{kind}, batch 8" for kind in ("JPEG", "PNG", "ArrayRecord of PNG", "memory-mapped")},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rows(benchmark, cases):
    rows = benchmark.run(TINY)
    assert cases <= {row.case for row in rows}
    assert all(row.ours_ms > 0 for row in rows)


def test_step_is_compared_with_torch_and_the_floor():
    pytest.importorskip("torch")
    rows = step.run(TINY)
    here = ["torch", "torch channels_last"]
    apart = [f"{peer}, apart" for peer in here]
    assert [row.peer for row in rows] == [*here, *apart, "torch + DataLoader"]
    for row in rows:
        fields = row.fields()
        assert fields["speedup"] == pytest.approx(fields["peer_ms"] / fields["ours_ms"])
        assert 0 < fields["floor_ms"] < fields["ours_ms"]


def test_step_says_how_to_get_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"no PyTorch.*pip install 'devae_jax\[bench\]'"):
        step.run(TINY)


@pytest.mark.slow
def test_devices_share_a_step(monkeypatch):
    rows = devices.run(TINY)
    names = [f"{form}, {n} devices" for form in ("fast, jit", "native, pmap") for n in (1, 2)]
    assert [row.case for row in rows] == names
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert one.facts["of_one_device"] == 1
        assert 0.5 < two.facts["of_one_device"] < 0.54  # batch 8: what is not split counts more
        assert not set(devices.COLLECTIVES) & set(one.facts)
        assert two.facts["all-reduce"] == 1
    assert "GFLOP" in measure.table(rows)
    monkeypatch.setattr(jax, "devices", lambda: [None])
    with pytest.raises(ValueError, match=r"launch/benchmark\.py devices"):
        devices.run(TINY)


@pytest.mark.slow
def test_loop_compares_bare_steps_and_scans(monkeypatch):
    monkeypatch.setattr(loop, "_starts", lambda options: [])  # processes: integration tests
    assert [row.peer for row in loop.run(TINY)] == ["bare", "one by one"]


@pytest.mark.slow
def test_population_is_compared_with_its_members():
    with jax.debug_key_reuse(False):
        rows = population.run(TINY)
    assert [row.case for row in rows] == ["2 members, default", "2 members, fused"]
    assert {row.peer for row in rows} == {"one after another"}


def test_gpu_leaves_out_what_would_not_end_in_time(capsys):
    rows = gpu.run(TINY)
    assert rows[0].case == "TF32 GEMM"
    assert "left out for lack of time: one run, K = 3, sampled" in capsys.readouterr().out


@pytest.mark.slow
def test_gpu_measures_runs_and_populations(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = gpu.run(TINY._replace(minutes=30.0))
    cases = {row.case for row in rows}
    assert "one run, batch 8, K = 1, sum" in cases
    assert {f"2 members, K = 3, {case}" for case in gpu.POPULATIONS} <= cases
    assert {f"one run, batch 8, K = 1, sum, {x}" for x in ("float32", "fused")} <= cases
    assert "one run, batch 8, K = 1, sum, bfloat16, fused" in cases
    assert rows[-1].facts["hours"] == pytest.approx(rows[-1].ours_ms / 3.6e6)


@pytest.mark.parametrize("layers", [1, 3])
def test_arithmetic_of_a_step_is_what_xla_counts(layers):
    counted = {}
    for form in ("native", "fast"):
        changes = {"model.width": 32, "model.convolution": form}
        changes |= {"model.encoder": "conv", "model.decoder": "conv"}
        config = runs.config(TINY, batch=8, layers=layers, **changes)
        plan = programs.plan(config)
        cost = runs.one_device(plan.program).lower(plan.hparams).cost_analysis()
        counted[form] = cost["flops"] * 1e-9
    # Without the taps on padding, and with the rows that the fast form adds.
    ours = runs.gigaflop(config, plan.dataset.image_shape)
    assert counted["native"] < ours < counted["fast"] < 1.4 * counted["native"]


def test_interleaved_times_are_of_one_call():
    calls = []
    times = measure.interleave({"a": lambda: calls.append(1)}, seconds=0.0, turn=0.001)
    assert 0 < times["a"].minimum <= times["a"].median < 1


def test_table_and_json(tmp_path):
    row = measure.Row("step", "batch 8", 2.0, "torch", 3.0, 0.5, {"threads": 2})
    assert "1.5" in measure.table([row])
    measure.write_json(str(tmp_path / "rows.json"), [row], {"device": "a"})
    (read,) = json.loads((tmp_path / "rows.json").read_text())
    assert read == {
        "benchmark": "step",
        "case": "batch 8",
        "ours_ms": 2.0,
        "peer": "torch",
        "peer_ms": 3.0,
        "speedup": 1.5,
        "floor_ms": 0.5,
        "threads": 2,
        "machine": {"device": "a"},
    }


@pytest.mark.parametrize("arguments", [(), ("steps",)])
def test_command_line_names_the_benchmarks(arguments):
    text = call("benchmark", *arguments, code=2)
    known = "step, loop, data, loader, devices, population, metrics, gpu, compiled"
    assert f"expected one of {known}" in text


def test_command_prints_a_table_and_writes_rows(tmp_path):
    file = tmp_path / "rows.json"
    text = call("benchmark", "metrics", "--tiny", "--minutes=0", f"--json={file}")
    assert "mig" in text
    rows = json.loads(file.read_text())
    assert all(row["benchmark"] == "metrics" and row["machine"]["cores"] for row in rows)
