#!/usr/bin/env bash
# Every public header compiles alone, as C17, with all warnings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bad=0
for header in include/iotctl/*.h; do
  printf '#include "%s"\nint only_a_header(void);\n' "${header#include/}" |
    "${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -xc - || {
    echo "$header does not compile alone"
    bad=1
  }
done
exit "$bad"
