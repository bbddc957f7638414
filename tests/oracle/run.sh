#!/bin/sh
# Compares the executor and the numpy reference with ONNX Runtime, on every model
# and the whole test split, and the reference on the generated operator cases.
#
#   tests/oracle/run.sh ZKONNX_BINARY [MODEL.onnx ...]
#
# Builds nothing. The Python environment is made beside this script if it is
# missing; PYTHON names the interpreter to make it with.
set -eu

if [ "$#" -lt 1 ]; then
    echo "usage: $0 ZKONNX_BINARY [MODEL.onnx ...]" >&2
    exit 2
fi
zkonnx=$1
shift
if [ ! -x "$zkonnx" ]; then
    echo "$zkonnx is not an executable file" >&2
    exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/environment.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
echo "== the comparison itself"
(cd "$here" && "$python" -m unittest -q test_comparison) || status=1
echo "== numpy reference against ONNX Runtime, models"
"$python" "$here/compare_models.py" --reference "$@" || status=1
if [ "$#" -eq 0 ]; then
    echo "== numpy reference against ONNX Runtime, operator cases"
    "$python" "$here/gen_cases.py" "$work/cases" || status=1
    "$python" "$here/check_cases.py" "$work/cases" || status=1
fi
echo "== zkonnx against ONNX Runtime, models"
"$python" "$here/compare_models.py" --zkonnx "$zkonnx" "$@" || status=1
exit "$status"
