#!/bin/sh
# Fuzzes every target for so many seconds each (default 60), from the test vectors as first inputs.
# Needs a nightly toolchain and `cargo install cargo-fuzz`.
set -eu
cd "$(dirname "$0")/.."
seconds="${1:-60}"
for target in key claim receipt proof; do
    mkdir -p "fuzz/corpus/$target"
    if [ "$target" != proof ]; then
        cp verifier/vectors/"$target"-*.bin "fuzz/corpus/$target/"
    fi
    # No sanitizer: there is no unsafe code to watch, and everything runs several times faster without.
    cargo +nightly fuzz run --fuzz-dir fuzz --sanitizer none "$target" -- \
        -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=512 -print_final_stats=1
done
