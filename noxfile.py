"""One session per check. ``nox --list`` shows them all, ``nox -s lint`` runs one, ``nox`` runs what a commit needs.

Each session has its own virtual environment in ``.nox/``, which the next run uses again. ``nox -R -s quick`` skips the
installation as well. What follows ``--`` goes to the tool: ``nox -s tests-3.12 -- tests/test_store_sources.py -x``.
"""

from __future__ import annotations

import configparser
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import nox

ROOT = Path(__file__).parent
MATURIN = "maturin>=1.7,<2"  # as in rust/python/pyproject.toml
_WASM = "wasm32-unknown-unknown"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]  # the last one to try: setup.cfg names those that are supported


class Tried(NamedTuple):
    """Optional packages that are tried together, in their oldest and in their newest versions. The extra ``dev`` has the ranges.

    Attributes:
        packages: A regular expression of their names.
        tests: The tests that need them, as globs.
        beside: Further requirements of the oldest versions, which are held back where today's other packages no longer suit them.
    """

    packages: str
    tests: tuple[str, ...]
    beside: tuple[str, ...] = ()


TRIED = {
    "otel": Tried(
        "httpx|openai|openinference.*|opentelemetry.*|pydantic-ai.*|requests|sqlalchemy",
        ("test_integrations_otel*", "test_integrations_openai", "test_cli_send"),
    ),
    "langchain": Tried(
        "langchain.*|langgraph",
        ("test_integrations_langchain*",),
    ),
    "services": Tried(
        "argcomplete|celery|cloudpickle|distributed|django|duckdb|fastapi|genai-prices|jmespath|joblib|mcp|orjson|rich|starlette"
        "|uvicorn|websockets",
        (
            "test_integrations_asgi", "test_integrations_celery", "test_integrations_django", "test_integrations_mcp",
            "test_recording_pricing", "test_sql_*", "test_cli_sql", "test_cli_live", "test_actions_json",
            "test_handlers_formatters", "faults/test_by_value",
        ),
        # mcp 1.20 imports private names of pydantic, and Starlette 0.27 the name that python-multipart had.
        beside=("pydantic==2.11.0", "python-multipart==0.0.9"),
    ),
}  # fmt: skip
NOT_THE_OLDEST = {"langchain"}  # only the newest langchain works with the langgraph that it is tried with

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "quick"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False  # also in CI: a Python that the machine lacks is skipped, and reported

# Behind everything else on PATH, pyenv's interpreters: its shims are found and yet refuse to run while no version is active.
_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, sorted(_PYENV.glob("versions/3.*/bin")))])


def extras() -> configparser.SectionProxy:
    """Return the extras of setup.cfg: the one place that says which versions are needed."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings["options.extras_require"]


def requirements(extra: str) -> dict[str, str]:
    """Return the requirements of an extra, by the names of the packages."""
    return {re.split(r"[<>=~!;\[ ]", line)[0]: line for line in extras()[extra].split("\n") if line}


def of_dev(*names: str) -> list[str]:
    """Return the requirements of these packages as the extra ``dev`` has them."""
    found = requirements("dev")
    return [found[name] for name in names]


def install(session: nox.Session, extra: str, *more: str) -> None:
    """Install the package with an extra, as users do.

    Sessions start ``pytest``, not ``python -m pytest``: that would find the source tree first, and test it in place of what is
    installed.
    """
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would install modules that an earlier build left there
    session.install(f".[{extra}]", *more)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and check the format (ruff)."""
    session.install(*of_dev("ruff"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types (mypy, strict)."""
    install(session, "test,langchain,otel", *of_dev("mypy", "types-PyYAML", "types-jmespath", "orjson", "rich", "argcomplete"))
    session.run("mypy", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """Run the tests but the slow ones, on all cores: the loop while you write."""
    install(session, "test", *of_dev("pytest-xdist"))
    session.run("pytest", "-q", "-m", "not slow", "-n", "auto", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests on one Python version: ``nox -s tests-3.12``; ``nox -s tests`` runs them on each that is there."""
    install(session, "test", *of_dev("pytest-xdist"))
    session.run("pytest", "-q", "-n", "auto", *session.posargs)


@nox.session
def optional(session: nox.Session) -> None:
    """Run the tests that need optional packages, a browser, lnav or speedscope; what is missing is skipped, and reported."""
    install(session, "test,dev")
    needing = re.compile("importorskip|find_spec")  # how a test skips without a package
    paths = [str(path) for path in sorted(Path("tests").glob("**/test_*.py")) if needing.search(path.read_text(encoding="utf-8"))]
    chosen = session.posargs or [*paths, "tests/viewers"]
    session.run("pytest", "-q", *chosen, env=speedscope(session))


@nox.session
@nox.parametrize(
    "group,versions", [nox.param(group, age, id=f"{group}-{age}") for group in TRIED for age in ("oldest", "newest")]
)
def integrations(session: nox.Session, group: str, versions: str) -> None:
    """Run the tests of optional packages with their oldest or newest versions: ``nox -s "integrations(otel-oldest)"``."""
    tried = TRIED[group]
    install(session, "test", *of_dev("pytest-xdist"), *tried_with(tried, versions))
    files = [str(path) for name in tried.tests for path in sorted(Path("tests").glob(f"{name}.py"))]
    session.run("pytest", "-q", "-n", "auto", *(session.posargs or files))


def tried_with(tried: Tried, versions: str) -> list[str]:
    """Return the requirements of packages that are tried together: as the extra ``dev`` has them, or where its ranges begin."""
    wanted = {name: line for name, line in requirements("dev").items() if re.fullmatch(tried.packages, name)}
    if versions == "newest":
        return list(wanted.values())
    pinned = [re.sub(r">=([^,;]+)[^;]*", r"==\1", line) for name, line in wanted.items() if name not in NOT_THE_OLDEST]
    return [*pinned, *tried.beside]


@nox.session
def runtimes(session: nox.Session) -> None:
    """Hold the Rust runtime equal to Python, if there is cargo; ``-- --hypothesis-profile nightly`` tries many cases."""
    need_crates(session)
    install(session, "test")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "rust" / "target")).resolve()
    has_path = any(argument.startswith("tests") for argument in session.posargs)
    chosen = [*([] if has_path else ["tests/runtimes"]), *session.posargs]
    session.run("pytest", "-q", *chosen, env=programs(session, target))


def programs(session: nox.Session, target: Path) -> dict[str, str]:
    """Build tea-obs-rs twice, and return the environment in which tests find it."""
    build = ("cargo", "build", "--quiet", "--locked", "--manifest-path", "rust/Cargo.toml", "--bin", "tea-obs-rs")
    bare = ("--no-default-features", "--features", "cli,memory,http,jmespath")
    suffix = ".exe" if os.name == "nt" else ""
    found = {}
    for variable, options in (
        ("TEA_OBS_RS_BARE", bare),
        ("TEA_OBS_RS", ()),
    ):  # the default build comes last, and stays in its place
        session.run(*build, *options, external=True, env={"CARGO_TARGET_DIR": str(target)})
        kept = target / "parity" / f"{variable.lower().replace('_', '-')}{suffix}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(target / "debug" / f"tea-obs-rs{suffix}", kept)
        found[variable] = str(kept)
    return found


@nox.session
def coverage(session: nox.Session) -> None:
    """Run all tests in random order with the optional packages, and fail below the threshold of branch coverage."""
    install(session, "test,dev")
    session.run("coverage", "erase")
    order = f"--randomly-seed={random.randrange(1 << 32)}"  # nox prints the command, and so the seed that repeats the order
    program = str(Path(session.bin) / "pytest")
    options = ("-q", "-n", "auto", order, "--hypothesis-profile=thorough")
    session.run("coverage", "run", program, *options, *session.posargs, env=speedscope(session))
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it and nothing else, and run every example far from the source tree."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    place = Path(session.create_tmp()).resolve()
    shutil.rmtree(place)
    session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(place), ".")
    session.install(*map(str, place.glob("*.whl")))
    shutil.copytree(ROOT / "examples", place / "examples", ignore=shutil.ignore_patterns("logs", "__pycache__"))
    session.chdir(place)
    session.run("tea-obs", "--version")
    session.run("bash", str(ROOT / ".ci" / "examples"), external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into docs/_build; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build", *session.posargs)


@nox.session
def rust(session: nox.Session) -> None:
    """Check the Rust runtime: format, lint, tests, documentation, licences, packages, and the oldest compiler it supports."""
    need_crates(session)
    install(session, "test")  # some tests of the crates ask the package
    env = {"PYTHON": str(Path(session.bin) / "python"), "RUSTDOCFLAGS": "-D warnings"}
    session.run("python", "rust/audit.py", external=True)
    session.chdir("rust")
    for command in (
        "fmt --check",
        "clippy --locked --all-targets -- -D warnings",
        "test --locked --quiet",
        "test --locked --quiet -p the-edge-obs --test compiled_out -- --ignored",
        "test --locked --quiet -p the-edge-obs --no-default-features --lib",
        "doc --locked --quiet --no-deps",
        "package --locked --quiet -p the-edge-obs --allow-dirty",
    ):
        session.run("cargo", *command.split(), external=True, env=env)
    targets = (
        str(session.run("rustup", "target", "list", "--installed", external=True, silent=True)) if shutil.which("rustup") else ""
    )
    if _WASM in targets:
        for crate in ("the-edge-obs", "the-edge-obs-flows"):
            options = ("--locked", "--quiet", "--no-default-features", "--target", _WASM, "-p", crate)
            session.run("cargo", "check", *options, external=True)
    else:
        session.warn(f"{_WASM} is not on this machine (rustup target add {_WASM}), so it is not tried")
    oldest = re.search(r'^rust-version = "(.+)"', Path("Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert oldest is not None
    if shutil.which("rustup") and oldest[1] in str(session.run("rustup", "toolchain", "list", external=True, silent=True)):
        session.run("cargo", f"+{oldest[1]}", "check", "--locked", "--quiet", external=True)
    else:
        session.warn(f"Rust {oldest[1]} is not on this machine (rustup toolchain install {oldest[1]}), so it is not tried")


@nox.session(reuse_venv=False)
def native(session: nox.Session) -> None:
    """Build the native core's wheel, install it beside the package, and run the tests of what it captures with and without it."""
    need_crates(session, "rust/python", "the native core")
    install(session, "test", *of_dev("pytest-xdist", "orjson", "cloudpickle"), MATURIN)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "rust" / "target")).resolve()
    env = {"CARGO_TARGET_DIR": str(target)}
    manifest = ("--manifest-path", "rust/python/Cargo.toml")
    wheels = Path(session.virtualenv.location).resolve() / "wheels"  # create_tmp would become TMPDIR, where only this user may go
    shutil.rmtree(wheels, ignore_errors=True)
    session.run("cargo", "fmt", "--check", *manifest, external=True)
    session.run("cargo", "clippy", "--locked", *manifest, "--", "-D", "warnings", external=True, env=env)
    session.run("maturin", "build", "--quiet", "--release", "--locked", *manifest, "--out", str(wheels), env=env)
    # Not session.install: with -R, that would leave the core of an earlier run in place.
    session.run("python", "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", *map(str, wheels.glob("*.whl")))
    wanted = re.compile(r"test_(redaction|secrets|recording|instrumentation|handlers|growth|vectors|store_sources)\w*\.py")
    files = [str(path) for path in sorted(Path("tests").glob("*.py")) if wanted.fullmatch(path.name)]
    chosen = session.posargs or [*files, "tests/faults"]
    for pure, core in (("0", "native core"), ("1", "pure Python")):
        said = str(session.run("tea-obs", "--version", silent=True, env={"THE_EDGE_OBS_PURE": pure})).strip()
        session.log(said)
        if core not in said:  # tests of a core that is not used would be skipped
            session.error(f"tea-obs --version says '{said}', not '{core}'")
        session.run("pytest", "-q", "-n", "auto", *chosen, env={"THE_EDGE_OBS_PURE": pure})


@nox.session
def release(session: nox.Session) -> None:
    """Build and test what a release consists of, into dist/, and upload nothing; ``-- --draft`` takes the tree as it is."""
    session.install("build>=1.3", "twine>=6", MATURIN)
    session.run("python", "scripts/release.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the speed against other libraries: ``nox -s bench -- --quick``."""
    install(session, "bench")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Make the code wrong in one place at a time and see whether a test fails; ``-- handlers --sample 100`` tries fewer."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.mutants", *(session.posargs or ["--sample", "60"]))


def need_crates(session: nox.Session, workspace: str = "rust", part: str = "the Rust runtime") -> None:
    """Skip the session, with a reason, if cargo is missing or cannot download the crates in a workspace's Cargo.lock."""
    if shutil.which("cargo") is None:
        session.skip(f"cargo is not on this machine, so {part} is skipped")
    if subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT / workspace, check=False).returncode:
        session.skip(f"cargo cannot get the crates of {workspace}/Cargo.lock, so {part} is skipped")


def speedscope(session: nox.Session) -> dict[str, str]:
    """Return the environment in which tests find speedscope, which npm installs once; without npm they skip."""
    if "SPEEDSCOPE_HOME" in os.environ:
        return {}
    if shutil.which("npm") is None:
        session.warn("npm is not on this machine, so speedscope is not tried")
        return {}
    home = Path(session.cache_dir).resolve() / "npm"
    options = ("--silent", "--no-audit", "--no-fund", "--prefix", str(home))
    session.run("npm", "install", *options, "speedscope", external=True, success_codes=range(256))
    installed = home / "node_modules" / "speedscope"
    if not installed.is_dir():
        session.warn("npm cannot install speedscope, so it is not tried")
        return {}
    return {"SPEEDSCOPE_HOME": str(installed)}
