#!/usr/bin/env bash
# How fast 'iotctl publish' is beside mosquitto_pub -l: 10,000 messages of QoS 1 from one process through the fleet's own
# broker, in interleaved rounds. Prints the median ratio; fails when it is below the one given.
#
#   bench_publish.sh [ROUNDS [RATIO]]     $IOTCTL_BIN: the folder of a release build
set -euo pipefail
rounds=${1:-5} wanted=${2:-2.3} count=10000
export PATH=${IOTCTL_BIN:?the folder of the built program}:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-bench.XXXXXX")
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
trap 'iotctl serve --stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

port=$((20000 + RANDOM % 20000))
iotctl -q init bench --port "$port" >/dev/null
iotctl -q serve --detach >/dev/null
socket=$XDG_DATA_HOME/iotctl/bench/broker/admin.sock

# The same payloads of 200 bytes: ours to 10,000 topics (named on the command line, or as JSON lines), mosquitto_pub's to
# the one topic that it can do.
payload=$(printf '%0200d' 0)
mapfile -t topics < <(seq -f 'bench/pump-%05g/event' "$count")
printf "{\"topic\":\"%s\",\"payload\":\"$payload\"}\n" "${topics[@]}" >"$work/messages.jsonl"
printf "$payload%.0s\n" "${topics[@]}" >"$work/lines"

microseconds() { # COMMAND...: how long it took
  local start=$EPOCHREALTIME
  "$@"
  local end=$EPOCHREALTIME
  echo $((${end/./} - ${start/./}))
}
all_acknowledged() { [ "$(jq .acknowledged "$work/account")" = "$count" ]; }
by_name() { iotctl -q publish "${topics[@]}" -m "$payload" -o json >"$work/account"; }
by_line() { iotctl -q publish --lines -f "$work/messages.jsonl" -o json >"$work/account"; }
peer() { mosquitto_pub --unix "$socket" -V 5 -q 1 -l -t bench/all <"$work/lines"; }

peer # all warm
by_name && all_acknowledged
by_line && all_acknowledged
for ((round = 0; round < rounds; round++)); do
  peer_us=$(microseconds peer) name_us=$(microseconds by_name) && all_acknowledged
  line_us=$(microseconds by_line) && all_acknowledged
  awk -v p="$peer_us" -v m="$name_us" -v l="$line_us" -v n="$count" 'BEGIN {
    printf "mosquitto_pub -l %7.0f/s  publish --lines %7.0f/s (%.2f)  publish TOPIC... %7.0f/s  ratio %.2f\n",
      n * 1e6 / p, n * 1e6 / l, p / l, n * 1e6 / m, p / m }'
done | tee "$work/rounds"
awk '{ print $NF }' "$work/rounds" | sort -n | awk -v wanted="$wanted" '
  { r[NR] = $1 }
  END { m = r[int((NR + 1) / 2)]; printf "median ratio %.2f (wanted: %.2f)\n", m, wanted; exit m < wanted }'
