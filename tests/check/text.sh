#!/usr/bin/env bash
# Shell scripts and man pages are clean; no unfinished words and no paths of a developer's machine are in the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bad=0

need() {
  command -v "$1" >/dev/null || { echo "skipped: $1 is not installed"; exit 77; }
}
need shellcheck
need mandoc

mapfile -t scripts < <(git ls-files | xargs grep -lE '^#!.*(bash|/sh)$' -- | grep -v '\.bats$')
shellcheck -x "${scripts[@]}" tests/lib/*.sh tests/e2e/common.bash || bad=1
shellcheck -s bash completions/iotctl.bash || bad=1
for page in man/*.[1-9]; do
  out=$(mandoc -T lint -W warning "$page") || { echo "$out"; bad=1; }
done
if git grep -nIE '\b(TODO|FIXME|XXX|HACK)\b' -- src include tests ':!tests/check/text.sh'; then
  echo "unfinished words"
  bad=1
fi
exit "$bad"
