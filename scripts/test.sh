#!/usr/bin/env bash
#
# Checks everything that must hold before a change is merged: format, lints, documentation, the demo
# at a small size, and all tests, against real MySQL and MariaDB servers.
#
#   scripts/test.sh

set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

scripts/setup.sh
say "Format"
cargo fmt --all --check
say "Line widths and doc summaries"
scripts/prose.sh
say "Lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "Documentation"
# There are no examples, but --examples enables the dev-dependencies, as the lints and the tests do.
# Without them shared dependencies would have fewer features, and would be checked a second time.
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --lib --examples
say "Dependencies"
if cargo deny --version > /dev/null 2>&1; then
    # Advisories need a download. Run `cargo deny check` where a network is available.
    cargo deny --locked check bans licenses sources
else
    echo "not checked: cargo-deny is not installed (cargo install cargo-deny)"
fi
say "Demo"
scripts/demo.sh --small mysql
scripts/demo.sh --small mariadb
say "Tests"
# Last, so that the result is what one sees.
cargo test --locked --lib --bins --test layers --test documents --test it
