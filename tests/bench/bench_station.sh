#!/usr/bin/env bash
# How much faster eight heads of a station are than one, on lines paced at 115200 baud, and that one process serves 64. Each
# head has one blank module and every unit is one board, from its identity to its proof; what is compared is boards a second,
# the median of the rounds. Fails when eight heads are not seven times one.
#
#   bench_station.sh [ROUNDS [TIMES]]     $IOTCTL_BIN: the folder of a release build
set -euo pipefail
export LC_ALL=C
rounds=${1:-3} wanted=${2:-7} connect=${CONNECT:-5ms}
export PATH=${IOTCTL_BIN:?the folder of the built program}:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-bench.XXXXXX")
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state
unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
modules=()
end() {
  [ "${#modules[@]}" = 0 ] || kill "${modules[@]}" 2>/dev/null || true
  iotctl serve --stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap end EXIT
cd "$work"

port=$((20000 + RANDOM % 12000))
iotctl -q init bench --port "$port" >/dev/null
iotctl -q serve --detach >/dev/null
echo '{"name": "bench", "board": "expresslink", "device": {"type": "pump"}}' >recipe.json
serial=0

# shift_of HEADS: each does one board; prints the seconds from the first record to the last.
shift_of() {
  local heads=$1 ports=() i first last
  rm -rf ./head* ./*.log
  for ((i = 0; i < heads; i++)); do
    rm -rf "module$i"
    iotctl -q sim expresslink --link "./head$i" --state "./module$i" --broker-port "$port" --baud 115200 --exec-time 5ms \
      --exec-time "CONNECT=$connect" 2>"$i.log" &
    modules+=($!)
    ports+=(--port "./head$i")
  done
  for ((i = 0; i < heads; i++)); do
    until [ -L "head$i" ]; do sleep 0.02; done
  done
  first=$EPOCHREALTIME
  iotctl -q station run recipe.json --station "s$serial" "${ports[@]}" --no-serials --count "$heads" -o jsonl >"out" </dev/null
  last=$EPOCHREALTIME
  [ "$(grep -c '"result":"pass"' out)" = "$heads" ]
  serial=$((serial + 1))
  kill "${modules[@]}"
  wait "${modules[@]}" 2>/dev/null || true
  modules=()
  seconds=$(awk -v us="$((${last/./} - ${first/./}))" 'BEGIN { print us / 1e6 }')
}

for ((round = 0; round < rounds; round++)); do
  shift_of 1
  one=$seconds
  shift_of 8
  awk -v one="$one" -v eight="$seconds" 'BEGIN {
    printf "one head %.2f s a board, eight heads %.2f s for eight: %.2f times\n", one, eight, 8 * one / eight }'
done | tee rounds
shift_of 64
awk -v s="$seconds" 'BEGIN { printf "64 heads: 64 boards in %.2f s\n", s }'
awk '{ print $(NF - 1) }' rounds | sort -n | awk -v wanted="$wanted" '
  { v[NR] = $1 }
  END { m = v[int((NR + 1) / 2)]; printf "median %.2f times (wanted: at least %.1f)\n", m, wanted; exit m < wanted }'
