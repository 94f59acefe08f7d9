# Short names for what is typed often. `just` alone lists them.

_default:
    @just --list

# Run every test
test:
    cargo test

# Test the library alone, without the embedded engine
test-library:
    cargo test -p gradus

# Check format and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Drive the simulator through that many seeds
sim seeds="100000":
    GRADUS_SIM_SEEDS={{seeds}} cargo test -p gradus --test simulation -- --nocapture

# Start the mock server
mock port="8000":
    cargo run --release -- mock --port {{port}}

# Run the pipeline on the built-in bank with the embedded model
quickstart *args:
    cargo run --release -- quickstart {{args}}

# Load every export with `datasets` and train a tiny student on it; makes an environment with TRL unless one is named
consumers *args:
    cargo build
    python3 scripts/consumers.py {{args}}

# Build the API documentation and open it
docs:
    cargo doc --workspace --no-deps --open

# Check licences, sources and advisories of all dependencies
deny:
    cargo deny check

# Everything that must hold before a change lands
ci:
    .ci/run
