#!/bin/sh
# Builds the contract for wasm and runs its tests under wasmi.
set -eu
cd "$(dirname "$0")"
for target in wasm32v1-none wasm32-unknown-unknown; do
    rustup target list --installed | grep -qx "$target" || rustup target add "$target"
    cargo build --release --locked --package zkonnx-verifier --target "$target"
done
cargo build --release --locked --lib --package zkonnx-settlement --target wasm32v1-none
cargo test --locked --package zkonnx-settlement
cargo test --release --locked --package zkonnx-settlement-host -- --nocapture "$@"
