#!/usr/bin/env bash
# Shows that the Python and the Rust runtime write the same logs: builds the Rust runtime, with and without recording, runs the fixtures of
# docs/parity.md in both, and compares logs, final states and exit codes. Then each runtime replays what the other recorded. The rules are in
# tests/runtimes: test_parity.py, test_replay.py, test_replays_of_both.py.
#
#     scripts/observability-parity-test.sh [OPTIONS OF PYTEST]
#
# PYTHON is the interpreter that has the package (default: that of the active environment, or python3); CARGO_TARGET_DIR is where cargo
# builds (default: rust/target). Exit codes: 0 the runtimes are equal, 1 they differ, 2 something is missing or cannot be built.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Relative paths are those of the folder in which the script is called.
target=${CARGO_TARGET_DIR:-$root/rust/target}
[[ $target == /* ]] || target=$PWD/$target
export CARGO_TARGET_DIR=$target
python=${PYTHON:-$(command -v python || command -v python3 || true)}
[[ $python != */* || $python == /* ]] || python=$PWD/$python
cd "$root"

[[ -n $python ]] || fail "python is not on this machine; install Python 3.10 or newer"
command -v "$python" >/dev/null || fail "PYTHON is '$python', which cannot be run; set it to a Python 3.10 or newer"
command -v cargo >/dev/null || fail "cargo is not on this machine; install Rust 1.85 or newer: https://rustup.rs"
for module in the_edge_obs pytest hypothesis yaml; do
  "$python" -c "import $module" 2>/dev/null ||
    fail "$python has no $module; run: $python -m pip install -e '$root[test]'"
done

build() { # build NAME OPTION...: builds tea-obs-rs, and keeps it as NAME
  cargo build --quiet --locked --manifest-path rust/Cargo.toml --package the-edge-obs-flows --bin tea-obs-rs "${@:2}" ||
    fail "tea-obs-rs (${1##*/}) cannot be built"
  mkdir -p "$target/parity"
  cp -f "$target/debug/tea-obs-rs" "$target/parity/$1"
}

unset TEA_LOG
echo "== Build tea-obs-rs without recording, and with it"
build tea-obs-rs-bare --no-default-features --features cli,memory,http,jmespath
build tea-obs-rs
export TEA_OBS_RS=$target/parity/tea-obs-rs TEA_OBS_RS_BARE=$target/parity/tea-obs-rs-bare

echo "== Run the fixtures in both runtimes, and replay runs of the other one"
code=0
"$python" -m pytest -q tests/runtimes/test_parity.py tests/runtimes/test_replay.py tests/runtimes/test_replays_of_both.py "$@" || code=$?
fixtures=(examples/observability/parity/*.yaml)
case $code in
  0) echo "== Equal: ${#fixtures[@]} fixtures in both runtimes: logs, final states and exit codes, with and without recording; and replays" ;;
  1) echo "== Different: see the failures above; each shows what Python and Rust answered" >&2 && exit 1 ;;
  *) fail "pytest ended with exit code $code, so nothing is shown" ;;
esac
