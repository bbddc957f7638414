#!/bin/sh
# Prints the path of a Python that has the pinned packages, making it if missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/../../models/requirements.txt
environment=$here/.venv
stamp=$environment/requirements.txt

# A copy of the pins is left behind when all went well, so a changed or broken
# environment is made anew.
if ! cmp -s "$requirements" "$stamp"; then
    rm -rf "$environment"
    "${PYTHON:-python3}" -m venv "$environment" >&2
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        -r "$requirements" >&2
    cp "$requirements" "$stamp"
fi
echo "$environment/bin/python"
