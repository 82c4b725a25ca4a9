#!/usr/bin/env bash
# Runs the cases of one .test file: run.sh FILE. $IOTCTL_BIN is the folder of the built program.
#
#   # a remark
#   @fleet              a fresh home with a fleet "demo" for what follows
#   @home               a fresh home without one
#   @do COMMAND         preparation; must succeed
#   $ COMMAND           the case, run by the shell in the home
#   > PATTERN           its next line on stdout (* and ? match as in the shell); "> ..." skips the rest
#   ! CODE PATTERN      it ends with this exit code and says exactly one line on stderr that matches; nothing in the fleet
#                       has changed then
#   ~ COMMAND           afterwards this must be true
#
# Without "!" a case has to end with exit code 0.
set -uo pipefail
file=$(realpath "$1")
export PATH=$IOTCTL_BIN:$PATH NO_COLOR=1
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 # faketime is preloaded in some cases
unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
root=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-cli.XXXXXX")
trap 'chmod -R u+rwX "$root"; rm -rf "$root"' EXIT
homes=0 cases=0 failed=0
# shellcheck disable=SC2034 # for the cases
data=$(cd "$(dirname "$file")" && pwd)

fresh_home() {
  homes=$((homes + 1))
  home="$root/home $homes"
  mkdir -p "$home"
  cd "$home" || exit 1
  export HOME=$home XDG_CONFIG_HOME=$home/.config XDG_DATA_HOME=$home/.local/share XDG_STATE_HOME=$home/.local/state
  fleet=$XDG_DATA_HOME/iotctl/demo
}

# Everything a failed command might have changed: names and modes of files, their content, the registry's rows.
state() {
  [ -e "$fleet" ] || { echo "no fleet"; return; }
  find "$fleet" ! -name '*.db-wal' ! -name '*.db-shm' ! -name '*.log' -printf '%P %M\n' | sort
  find "$fleet" -type f ! -name 'registry.db*' ! -name '*.log' -exec sha256sum {} + | sort
  [ -s "$fleet/registry.db" ] && sqlite3 "$fleet/registry.db" .dump 2>&1
}

complain() {
  failed=$((failed + 1))
  printf '%s:%s: %s\n  %s\n' "$file" "$line_number" "$1" "${command:-}"
  sed 's/^/  stdout: /' "$root/out" | head -n 20
  sed 's/^/  stderr: /' "$root/err" | head -n 20
}

matches() { # TEXT PATTERN
  # shellcheck disable=SC2053 # a pattern on purpose
  [[ $1 == $2 ]]
}

check_stdout() {
  local i=0 line
  mapfile -t got <"$root/out"
  for line in "${want_out[@]}"; do
    [ "$line" = ... ] && return 0
    [ $i -lt ${#got[@]} ] || { complain "a line is missing on stdout: $line"; return 1; }
    matches "${got[$i]}" "$line" || { complain "stdout line $((i + 1)) is not: $line"; return 1; }
    i=$((i + 1))
  done
  [ ${#want_out[@]} -eq 0 ] || [ $i -eq ${#got[@]} ] || complain "more on stdout than expected"
}

check_refusal() {
  [ "$code" -eq "$want_code" ] || { complain "exit code $code, expected $want_code"; return; }
  [ "$(wc -l <"$root/err")" -eq 1 ] || { complain "not exactly one line on stderr"; return; }
  matches "$(cat "$root/err")" "$want_err" || { complain "stderr is not: $want_err"; return; }
  after_it=$(state)
  [ "$after_it" = "$before" ] && return
  complain "the fleet has changed"
  diff <(printf '%s\n' "$before") <(printf '%s\n' "$after_it") | head -n 20 | sed 's/^/  /'
}

finish_case() {
  [ -n "$command" ] || return 0
  cases=$((cases + 1))
  before=$(state)
  eval "$command" >"$root/out" 2>"$root/err" </dev/null # not the test itself, which is read line by line
  code=$?
  if [ -n "$want_code" ]; then
    check_refusal
  elif [ "$code" -ne 0 ]; then
    complain "exit code $code"
  fi
  check_stdout
  for check in "${after[@]}"; do
    eval "$check" >/dev/null 2>"$root/err" || complain "not true afterwards: $check"
  done
  command=
}

begin_case() {
  command=$1 want_code='' want_err='' want_out=() after=()
}

command='' line_number=0
begin_case ''
fresh_home
while IFS= read -r line || [ -n "$line" ]; do
  line_number=$((line_number + 1))
  case $line in
    '' | '#'*) ;;
    '@fleet') finish_case; fresh_home; iotctl -q init demo --port 18883 >/dev/null || complain "no fleet" ;;
    '@home') finish_case; fresh_home ;;
    '@do '*) finish_case; eval "${line#@do }" >"$root/out" 2>"$root/err" || { command=$line; complain "preparation failed"; command=; } ;;
    '$ '*) finish_case; begin_case "${line#\$ }" ;;
    '> '*) want_out+=("${line#> }") ;;
    '>') want_out+=('') ;;
    '~ '*) after+=("${line#\~ }") ;;
    '! '*) read -r _ want_code want_err <<<"$line" ;;
    *) complain "cannot read this line of the test: $line" ;;
  esac
done <"$file"
finish_case
echo "$cases cases, $failed failed"
[ "$failed" -eq 0 ] && [ "$cases" -gt 0 ]
