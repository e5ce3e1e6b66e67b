#!/usr/bin/env bash
#
# Everything that has to hold before a change lands: format, lints, documentation, the demo at a small size, and all tests,
# against real MySQL and MariaDB servers.
#
#   scripts/test.sh

set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

scripts/setup.sh
say "Format"
cargo fmt --all --check
say "Lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "Documentation"
# There are no examples, but asking for them takes in the dev-dependencies, as the lints and the tests do. Without them
# shared dependencies have fewer features, and would all be checked once more.
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --lib --examples
say "Dependencies"
if cargo deny --version > /dev/null 2>&1; then
    # Advisories need a download from elsewhere; run `cargo deny check` where there is a network.
    cargo deny --locked check bans licenses sources
else
    echo "not checked: cargo-deny is not installed (cargo install cargo-deny)"
fi
say "Demo"
scripts/demo.sh --small mysql
scripts/demo.sh --small mariadb
say "Tests"
# Last, so that the result is what one sees.
cargo test --locked --lib --bins --test layers --test it
