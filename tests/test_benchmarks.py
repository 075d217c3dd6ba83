"""The benchmarks' own promises: whom they compare, and that who does not do the whole job is not measured."""

from __future__ import annotations

import configparser
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from the_edge_obs.redaction.payloads import CORE, PYTHON

from .benchmarks import scrubbers

TESTS = Path(__file__).parent
PACKAGES = {"opentelemetry.sdk": "opentelemetry-sdk"}


@pytest.fixture
def bench(monkeypatch):
    """Return an importer of the benchmarks' modules, which are no tests and so not collected."""
    monkeypatch.syspath_prepend(str(TESTS))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_the_ledger_names_every_contender(bench):
    """The comparison promises the floor, this package and five others."""
    assert list(bench("contenders").LEDGER) == [
        "floor",
        "the_edge_obs",
        "stdlib",
        "structlog",
        "structlog tuned",
        "loguru",
        "eliot",
        "opentelemetry",
        "opentelemetry batch",
    ]


def test_the_extra_installs_what_the_contenders_need(bench):
    """`pip install the_edge_obs[bench]` is enough to run every contender."""
    setup = configparser.ConfigParser()
    setup.read(TESTS.parent / "setup.cfg", "utf-8")
    extra = {line.partition(">")[0] for line in setup["options.extras_require"]["bench"].split()}
    needed = {package for entry in bench("contenders").LEDGER.values() for package in entry.needs}
    assert {PACKAGES.get(package, package) for package in needed} | set(scrubbers.NEEDS.values()) == extra


@pytest.mark.slow
def test_the_cost_of_sending_spans_is_measured():
    """A figure is given only if every span arrives. Its size means something only on a quiet machine."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    command = [sys.executable, "-m", "tests.benchmarks.otlp", "--rounds", "2"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["own", "wall", "total", *["span"] * 3, "at"]


@pytest.mark.slow
def test_the_cost_of_integrations_that_are_off_is_measured():
    """A line for each integration whose package is there; ASGI's needs none."""
    command = [sys.executable, "-m", "tests.benchmarks.off", "--rounds", "1", "--calls", "5"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "asgi," in {line.split()[0] for line in done.stdout.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor", "the_edge_obs"])
def test_a_contender_does_the_whole_job_in_memory(bench, name):
    """Ids, redaction, mutation, threads and tasks are checked without any clock."""
    honesty = bench("honesty")
    contender = bench("contenders").load(name)()
    try:
        honesty.check(contender)
        honesty.check_threads(contender, threads=4, calls=20)
        honesty.check_tasks(contender, tasks=20)
    finally:
        contender.close()


def test_this_package_does_the_whole_job_in_files(bench, tmp_path):
    """What is read back from the files is what is read back from memory, and the secret is in neither."""
    contender = bench("contenders").load("the_edge_obs")(folder=tmp_path)
    try:
        bench("honesty").check(contender)
    finally:
        contender.close()


@pytest.mark.parametrize(
    ("captured", "complaint"),
    [
        (dict, "the secret is there"),
        (lambda value: {"nothing": True}, "entry of plan is"),
    ],
    ids=["keeps the secret", "keeps nothing"],
)
def test_who_does_not_do_the_whole_job_is_refused(bench, monkeypatch, captured, complaint):
    """A contender that saves work by leaving out redaction or content is an error, not a fast contender."""
    honesty = bench("honesty")
    monkeypatch.setattr(bench("contenders.floor"), "copied", captured)
    with pytest.raises(honesty.NotHonestError, match=complaint):
        honesty.check(bench("contenders").load("floor")())


def test_a_bar_passes_or_fails_by_how_much(bench):
    """A row meets the bars of its variant, and the table says so."""
    rows, table = bench("rounds"), bench("table")
    measured = [
        rows.Row("into memory", "eliot", 4.0, 4.1, "µs/node"),
        rows.Row("into memory", "the_edge_obs", 3.3, 3.4, "µs/node"),
    ]
    checked = table.bars(measured)
    assert [(bar.what, bar.value, bar.limit, bar.passed) for bar in checked] == [("x eliot", 0.825, 0.55, False)]
    assert (
        table.render(measured, checked).splitlines()[-1].split("  ")[-1].strip()
        == "0.825 of at most 0.55 x eliot: FAIL, 1.50 times the bar"
    )


def test_with_the_core_less_is_enough(bench):
    """The bars of a run with the native core are lower."""
    rows, table = bench("rounds"), bench("table")
    measured = [rows.Row("into memory", name, cost, cost, "µs/node") for name, cost in (("eliot", 4.0), ("the_edge_obs", 1.2))]
    assert [(bar.limit, bar.passed) for bar in table.bars(measured, is_native=True)] == [(0.25, False)]


@pytest.mark.slow
def test_the_core_is_left_out_for_the_second_table(tmp_path):
    """With the core there are two tables, of the same variants; in pure Python it is one."""
    found = tmp_path / "rows.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "bytes", "--contenders", "the_edge_obs"]
    done = subprocess.run([*command, "--json", str(found)], cwd=TESTS.parent, capture_output=True, text=True, check=True)
    said = json.loads(found.read_text("utf-8"))
    variants = [row["variant"] for row in said["rows"]]
    assert variants[0] == "bytes kept"
    if CORE.startswith(PYTHON):
        assert "pure" not in said
    else:
        assert [row["variant"] for row in said["pure"]["rows"]] == variants
        assert said["pure"]["rows"] != said["rows"]
    assert done.stdout.startswith(CORE)


@pytest.mark.parametrize("is_protected", [True, False])
def test_what_reliability_costs_is_measured_against_its_absence(bench, is_protected):
    """The switch of that benchmark does what it says: without protections the node's secret is not remembered."""
    bench("protections").check(is_protected)
