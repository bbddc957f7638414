#!/bin/sh
# Builds the contract for wasm and runs its tests under wasmi.
set -eu
cd "$(dirname "$0")"
rustup target list --installed | grep -qx wasm32v1-none || rustup target add wasm32v1-none
cargo build --release --locked --lib --package zkonnx-settlement --target wasm32v1-none
cargo test --release --locked --package zkonnx-settlement-host -- --nocapture "$@"
