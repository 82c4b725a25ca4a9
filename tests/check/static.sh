#!/usr/bin/env bash
# cppcheck and clang-tidy over what was compiled: static.sh TOOL BUILD-DIR. Files that did not change since they were last
# clean are not looked at again (stamps in the build folder). clang-tidy's analyser follows paths less far in a normal run than
# with IOTCTL_SOAK=1, which takes it ten times as long.
set -euo pipefail
tool=$1 build=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
# Another version has other opinions: the tree is kept clean for the one that tests/packages names.
tested=$(awk -v tool="$tool" '$1 == tool { print $2 }' tests/packages)
found=$("$tool" --version | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
[ "${found%%.*}" = "${tested%%.*}" ] || { echo "skipped: $tool is $found, the tree is kept clean for $tested"; exit 77; }
stamps=$build/check-$tool
depth=shallow
[ -z "${IOTCTL_SOAK:-}" ] || depth=deep
mkdir -p "$stamps"

look_at() {
  case $tool in
    clang-tidy)
      clang-tidy --quiet --extra-arg={-Wno-unknown-warning-option,-Xclang,-analyzer-config,-Xclang,"mode=$depth"} -p "$build" "$1" \
        2>/dev/null
      ;;
    cppcheck)
      cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --library=posix \
        --suppress=missingIncludeSystem --suppress=unknownMacro \
        --suppress=readdirCalled `# readdir_r is deprecated` --suppress=getpwuidCalled --suppress=resourceLeak `# knows no cleanup attribute` \
        -D_GNU_SOURCE -Iinclude -Isrc "$1" 2>&1
      ;;
  esac
}

stamp_of() { # a file's content together with the headers and settings it was judged with
  { echo "$depth"; cat .clang-tidy include/iotctl/*.h tests/check/static.sh "$1"; cat "$(dirname "$1")"/*.h 2>/dev/null || true; } |
    sha256sum | cut -d' ' -f1
}

one() { # look at one file, unless it is known to be clean
  local stamp out
  stamp=$stamps/$(stamp_of "$1")
  [ -e "$stamp" ] && return 0
  if out=$(look_at "$1"); then
    : >"$stamp"
  else
    printf '%s\n%s is not clean\n' "$out" "$1"
    return 1
  fi
}

if [ $# -eq 3 ]; then
  one "$3"
else
  find src -name '*.c' -print0 | sort -z | xargs -0 -P "$(nproc)" -I{} "$0" "$tool" "$build" {}
fi
