#!/usr/bin/env bash
# How long onboarding an ExpressLink module takes at 115200 baud, and whose time it is: the wire's (bytes x 86.8 us), the
# module's (what each command is declared to take), the connecting (from AT+CONNECT to its answer), and the rest, which is
# ours. Every round has a blank module. Prints the median of ours; fails when it is above the one given.
#
#   bench_expresslink.sh [ROUNDS [MILLISECONDS]]     $IOTCTL_BIN: the folder of a release build
set -euo pipefail
export LC_ALL=C
rounds=${1:-5} wanted=${2:-150} exec_ms=5
export PATH=${IOTCTL_BIN:?the folder of the built program}:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-bench.XXXXXX")
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
module=
trap '[ -z "$module" ] || kill "$module" 2>/dev/null || true; iotctl serve --stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
cd "$work"

port=$((20000 + RANDOM % 12000))
iotctl -q init bench --port "$port" >/dev/null
iotctl -q serve --detach >/dev/null

onboard() { # NAME: its milliseconds, as the caller of the program sees them
  local start=$EPOCHREALTIME
  iotctl -q provision --port "./$1" --name "$1" --transcript "$1.txt" -o json >"$1.json"
  local end=$EPOCHREALTIME
  awk -v us="$((${end/./} - ${start/./}))" 'BEGIN { print us / 1000 }'
}

# From the transcript "SECONDS.mmm > text" and "... < text": our lines end with LF, the module's with CR LF. Every line of
# ours but the certificates' own has an answer that takes the declared time.
account() { # NAME TOTAL
  awk -v total="$2" -v exec_ms="$exec_ms" '
    { text = substr($0, index($0, $2) + 2) }
    $2 == ">" { bytes += length(text) + 1; if (text ~ /^AT/) commands++ }
    $2 == "<" { bytes += length(text) + 2 }
    $2 == ">" && text == "AT+CONNECT" { asked = $1 }
    $2 == "<" && asked && !connect { connect = ($1 - asked) * 1000 - exec_ms - (length(text) + 13) * 0.0868 }
    END {
      wire = bytes * 0.0868
      printf "%7d bytes  wire %6.0f ms  module %5.0f ms  connect %5.0f ms  total %6.0f ms  ours %6.1f ms\n",
        bytes, wire, commands * exec_ms, connect, total, total - wire - commands * exec_ms - connect }' "$1.txt"
}

for ((round = 0; round < rounds; round++)); do
  name=board$round
  iotctl -q sim expresslink --link "./$name" --broker-port "$port" --baud 115200 --exec-time "${exec_ms}ms" 2>"$name.log" &
  module=$!
  until [ -L "$name" ]; do sleep 0.02; done
  total=$(onboard "$name")
  jq -e .changed "$name.json" >/dev/null
  account "$name" "$total"
  kill "$module"
  wait "$module" || true
  module=
done | tee rounds
awk '{ print $(NF - 1) }' rounds | sort -n | awk -v wanted="$wanted" '
  { v[NR] = $1 }
  END { m = v[int((NR + 1) / 2)]; printf "median of ours %.1f ms (wanted: at most %.0f ms)\n", m, wanted; exit m > wanted }'
