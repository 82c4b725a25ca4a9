#!/bin/sh
# The committed man/ and completions/ are what the command tree gives, and are well-formed.
#   generated.sh DOCGEN SOURCE-FOLDER
set -eu

docgen=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
	echo "generated: $1" >&2
	failed=1
}

"$docgen" "$work/man" "$work/completions"

for made in "$work"/man/* "$work"/completions/*; do
	name=${made#"$work"/}
	if ! [ -f "$source/$name" ]; then
		fail "$name is missing"
	elif ! diff -u "$source/$name" "$made"; then
		fail "$name is stale"
	fi
done
for page in "$source"/man/*; do
	# Pages written by hand do not carry the mark of generated ones.
	if [ -f "$page" ] && grep -q 'Generated from the command tree' "$page" && ! [ -f "$work/man/${page##*/}" ]; then
		fail "man/${page##*/} has no command any more"
	fi
done
[ "$failed" = 0 ] || echo "generated: run 'cmake --build BUILD --target docs' and commit the result" >&2

if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$work"/man/*.1 "$source"/man/*.7 || fail "a manual page is malformed"
fi
bash -n "$work/completions/iotctl.bash" || fail "the bash completion does not parse"
if command -v shellcheck >/dev/null; then
	shellcheck "$work/completions/iotctl.bash" || fail "the bash completion is not clean"
fi
if command -v zsh >/dev/null; then
	zsh -n "$work/completions/_iotctl" || fail "the zsh completion does not parse"
fi
if command -v fish >/dev/null; then
	fish -n "$work/completions/iotctl.fish" || fail "the fish completion does not parse"
fi
exit "$failed"
