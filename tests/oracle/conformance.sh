#!/bin/sh
# Conformance of the executor and of the circuits: the directed operator cases, the
# ONNX backend node tests, each operator by itself, networks that ONNX Runtime's tool
# quantized, and random graphs; the mock prover has to accept the last two as well, and
# the circuits of some random graphs have to reject every lie about them. Then graphs of
# the differential fuzzer.
#
#   tests/oracle/conformance.sh ZKONNX_BINARY [--full]
#
# Builds nothing; `zkonnx-bench` has to stand beside the binary. With --full, thousands of
# random graphs instead of some hundreds.
set -eu

if [ "$#" -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 ZKONNX_BINARY [--full]" >&2
    exit 2
fi
zkonnx=$1
case ${2-} in
    --full) forms=2000 trees=3000 extents= rounds=8 graphs=3000 circuits=100 tool=1 nets=--prove fuzzed=10000 ;;
    "") forms=170 trees=120 extents="7 20" rounds=1 graphs=300 circuits=10 tool=7 nets=--every=3 fuzzed=400 ;;
    *) echo "$0: unknown option $2" >&2; exit 2 ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/environment.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
echo "== the runner itself"
(cd "$here" && "$python" -m unittest -q test_conformance test_fuzz test_windows) || status=1
echo "== zkonnx on the directed operator cases"
"$python" "$here/gen_cases.py" "$work/cases" || status=1
"$python" "$here/check_cases.py" "$work/cases" --zkonnx "$zkonnx" || status=1
echo "== zkonnx on the ONNX backend node tests"
"$python" -W ignore "$here/conformance.py" nodes "$zkonnx" || status=1
echo "== zkonnx on each operator"
"$python" "$here/conformance.py" operators "$zkonnx" "$rounds" || status=1
echo "== zkonnx on forms of groups: kernel or float, and whether the label is true"
"$python" "$here/group_forms.py" "$zkonnx" "$forms" || status=1
"$python" "$here/group_forms.py" "$zkonnx" 20 --only Softmax || status=1
"$python" "$here/group_forms.py" "$zkonnx" resize ${extents:+--extents $extents} || status=1
echo "== zkonnx on float heads, and on tree ensembles"
"$python" -W ignore "$here/head_forms.py" "$zkonnx" "$trees" || status=1
"$python" -W ignore "$here/tree_forms.py" "$zkonnx" "$trees" || status=1
echo "== zkonnx on what ONNX Runtime's quantizer makes"
"$python" -W ignore "$here/conformance.py" tool "$zkonnx" "$tool" || status=1
echo "== zkonnx quantize on small float nets"
"$python" -W ignore "$here/quantize_nets.py" "$zkonnx" "$nets" --brief || status=1
echo "== zkonnx quantize on nets of old opsets, and on what a dynamic quantizer makes"
for form in 7 9 dynamic; do
    "$python" -W ignore "$here/quantize_nets.py" "$zkonnx" "$nets" --brief --form "$form" 2>/dev/null || status=1
done
echo "== zkonnx on random graphs"
"$python" "$here/conformance.py" random "$zkonnx" "$graphs" || status=1
echo "== fuzzed graphs"
"$python" -W ignore "$here/fuzz.py" "$(dirname "$zkonnx")/zkonnx-bench" "$fuzzed" || status=1
echo "== lies about random graphs"
"$python" "$here/conformance.py" mutants "$(dirname "$zkonnx")/zkonnx-bench" "$circuits" || status=1
exit "$status"
