"""Build and test what a release consists of. ``nox -s release`` runs it; docs/releasing.md says what happens before and after.

Everything is built in a temporary folder, and goes to ``dist/`` when all of it has passed. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = ("the-edge-obs", "the-edge-obs-flows")  # in the order in which they are published: the second depends on the first
_OWN = r'^version = "(.+?)"'
_LOCKED = r'^name = "the-edge-obs[\w-]*"\nversion = "(.+?)"'
_DEPENDENCY = r'^the-edge-obs = \{.*\bversion = "(.+?)"'
STATED = (
    ("rust/Cargo.toml", _OWN),
    ("rust/Cargo.lock", _LOCKED),
    ("rust/the-edge-obs-flows/Cargo.toml", _DEPENDENCY),
    ("rust/python/Cargo.toml", _OWN),
    ("rust/python/Cargo.toml", _DEPENDENCY),
    ("rust/python/Cargo.lock", _LOCKED),
)
"""Where else the version of setup.cfg is stated: files, and what precedes it there."""
_SETTINGS = ("PYTHONHOME", "PYTHONPATH", "TEA_LOG", "THE_EDGE_OBS_PURE", "VIRTUAL_ENV")  # of the caller, unset in smoke tests


def settings(root: Path) -> configparser.ConfigParser:
    """Return setup.cfg."""
    read = configparser.ConfigParser()
    read.read(root / "setup.cfg", encoding="utf-8")
    return read


def version_of(root: Path) -> str:
    """Return the version of everything that is released: the one in setup.cfg."""
    return settings(root)["metadata"]["version"]


def disagreements(root: Path) -> list[str]:
    """Return a line for each place whose version is not that of setup.cfg."""
    return list(_disagreements(root, version_of(root)))


def _disagreements(root: Path, version: str) -> Iterator[str]:
    numbers = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version)
    if numbers is None:
        yield f"setup.cfg says {version}: use three numbers, such as 0.2.0, which pip and cargo read alike"
        return
    for name, pattern in STATED:
        text = (root / name).read_text(encoding="utf-8")
        stated = list(re.finditer(pattern, text, re.MULTILINE))
        if not stated:
            yield f"{name} does not state a version: nothing in it matches {pattern}"
        for match in stated:
            if match[1] != version:
                yield f"{name}:{text.count(chr(10), 0, match.start(1)) + 1} says {match[1]}, and setup.cfg {version}"
    wanted = f"the_edge_obs_native>={numbers[1]}.{numbers[2]},<{numbers[1]}.{int(numbers[2]) + 1}"
    extra = settings(root)["options.extras_require"]["native"].strip()
    if extra != wanted:
        yield f"setup.cfg: the extra native is {extra}, and version {version} needs {wanted}"


def unfinished(root: Path) -> list[str]:
    """Return a line for each thing that a release needs and a draft does not: a section in CHANGELOG.md, and a clean tree."""
    missing = []
    version = version_of(root)
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE):
        missing.append(f"CHANGELOG.md has no section of {version} with a date: '## [{version}] - YYYY-MM-DD'")
    try:
        status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        missing.append(f"git cannot tell what is committed: {(getattr(error, 'stderr', '') or str(error)).strip()}")
        return missing
    if lines := status.stdout.splitlines():
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        missing.append(f"the tree has changes that are not committed: {', '.join(line[3:] for line in lines[:5])}{more}")
    return missing


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a program, show its output, and return it; a failure ends the release."""
    words = list(map(str, command))
    print("$", shlex.join(words), flush=True)
    env = {name: value for name, value in os.environ.items() if name not in _SETTINGS} | variables
    done = subprocess.run(words, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise SystemExit(f"error: {words[0]} ended with code {done.returncode}, so there is no release")
    return done.stdout


def build(built: Path, target: Path, version: str, draft: bool) -> None:
    """Build the sdist and the wheel of the package, the sdist and the wheel of the native core, and both crates."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    run(sys.executable, "-m", "build", "--quiet", "--outdir", built)  # the wheel is built from the sdist
    options = ("--release", "--locked", "--sdist", "--manifest-path", "rust/python/Cargo.toml", "--out", built)  # here too
    run(sys.executable, "-m", "maturin", "build", "--quiet", *options, CARGO_TARGET_DIR=str(target))
    chosen = [word for crate in CRATES for word in ("--package", crate)]
    allowed = ("--allow-dirty",) if draft else ()
    options = ("--locked", "--quiet", "--no-verify", *allowed, "--manifest-path", "rust/Cargo.toml")  # smoke tests verify them
    run("cargo", "package", *options, *chosen, CARGO_TARGET_DIR=str(target))
    for crate in CRATES:
        shutil.copy2(target / "package" / f"{crate}-{version}.crate", built)


def smoke_python(place: Path, core: str, version: str, *requirements: str | Path) -> None:
    """Install artefacts in a new environment, and run the quickstart where there is no source tree.

    Args:
        place: A new folder.
        core: What ``tea-obs --version`` says of the core.
        version: The version that is released.
        requirements: What pip installs.
    """
    run(sys.executable, "-m", "venv", place / "env")
    programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", *requirements)
    expect(run(programs / "tea-obs", "--version", cwd=place), f"the_edge_obs/{version} ", core)
    expect(run(programs / "tea-obs", "--version", cwd=place, THE_EDGE_OBS_PURE="1"), "pure Python")
    shutil.copytree(ROOT / "examples" / "quickstart", place / "quickstart", ignore=shutil.ignore_patterns("logs"))
    run(programs / "tea-obs", "run", "--quiet", "quickstart/flow.yaml", cwd=place)
    run(programs / "tea-obs", "validate", "logs", cwd=place)
    expect(run(programs / "tea-obs", "ls", "logs", cwd=place), "quickstart")


def smoke_crates(place: Path, target: Path, version: str, built: Path) -> None:
    """Build tea-obs-rs from both ``.crate`` files, and run a flow with it."""
    names = [f"{crate}-{version}" for crate in CRATES]
    for name in names:
        shutil.unpack_archive(built / f"{name}.crate", place, "gztar")
    (place / "Cargo.toml").write_text(
        f'[workspace]\nresolver = "3"\nmembers = ["{names[0]}", "{names[1]}"]\n'
        f'[patch.crates-io]\nthe-edge-obs = {{ path = "{names[0]}" }}\n',  # as if it were published
        encoding="utf-8",
    )
    shutil.copy2(ROOT / "rust" / "Cargo.lock", place)
    run("cargo", "build", "--quiet", "--bin", "tea-obs-rs", cwd=place, CARGO_TARGET_DIR=str(target / "packaged"))
    program = target / "packaged" / "debug" / ("tea-obs-rs.exe" if os.name == "nt" else "tea-obs-rs")
    expect(run(program, "--version", cwd=place), version)
    shutil.copy2(ROOT / "examples" / "observability" / "parity" / "recovery.yaml", place)
    run(program, "run", "recovery.yaml", "--log-dir", "logs", cwd=place)
    run(program, "validate", "logs", cwd=place)


def expect(output: str, *texts: str) -> None:
    """End the release unless all texts are in the output."""
    for text in texts:
        if text not in output:
            raise SystemExit(f"error: '{text}' is not in the output above, so there is no release")


def listing(folder: Path) -> str:
    """Return a line for each file of a folder: name, size in bytes, SHA-256."""
    files = sorted(folder.iterdir())
    width = max(len(file.name) for file in files)
    return "\n".join(
        f"{file.name:{width}} {file.stat().st_size:>9,} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files
    )


def main() -> None:
    """Check, build, test, and leave the artefacts in ``dist/``."""
    parser = argparse.ArgumentParser(prog="nox -s release --", description=__doc__)
    parser.add_argument(
        "--draft", action="store_true", help="build a tree that is not committed, or that CHANGELOG.md does not describe"
    )
    draft = parser.parse_args().draft
    refused = [*disagreements(ROOT), *([] if draft else unfinished(ROOT))]
    if shutil.which("cargo") is None:
        refused.append("cargo is not on this machine, and the native core and the crates need it: https://rustup.rs")
    if refused:
        hint = "" if draft else "\nTo try it nevertheless: nox -s release -- --draft"
        raise SystemExit("\n- ".join(["error: this cannot be released:", *refused]) + hint)

    version = version_of(ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "rust" / "target")).resolve()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        built = work / "dist"
        build(built, target, version, draft)
        pythons = [*built.glob("*.whl"), *built.glob("*.tar.gz")]
        run(sys.executable, "-m", "twine", "check", "--strict", *pythons)
        (sdist,) = built.glob("the_edge_obs-*.tar.gz")
        (pure,) = built.glob("the_edge_obs-*.whl")
        (native,) = built.glob("the_edge_obs_native-*.whl")
        smoke_python(work / "sdist", "pure Python", version, sdist)
        smoke_python(work / "pure", "pure Python", version, pure)
        smoke_python(work / "native", f"native core {version}", version, f"{pure}[native]", native)
        (work / "crates").mkdir()
        smoke_crates(work / "crates", target, version, built)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(built, ROOT / "dist")
    print(f"\nIn dist/, {'a draft of' if draft else 'ready to publish:'} {version}. Nothing was uploaded; see docs/releasing.md.")
    print(listing(ROOT / "dist"))


if __name__ == "__main__":
    main()
