#!/usr/bin/env bash
# How much faster eight heads of a station are than one, on lines paced at 115200 baud, and that one process serves 64. Each
# head does four blank modules, one after the other: the station's hook puts the next one in. Compared are boards a second, and
# the median of the rounds counts. Fails when eight heads are not seven times one.
#
#   bench_station.sh [ROUNDS [TIMES]]     $IOTCTL_BIN: the folder of a release build
#   CONNECT=2s bench_station.sh           a module that takes so long to connect; nothing by default
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
echo '{"name": "bench", "board": "expresslink", "device": {"type": "pump"}, "hook": {"command": ["./next"]}}' >recipe.json
cat >next <<'END'
#!/bin/sh
read -r line
head=${line#*\"head\":}
head=${head%%,*}
done=$(($(cat "done$head") + 1))
echo "$done" >"done$head"
[ ! -L "module$head.$done" ] || ln -sfn "$(readlink "module$head.$done")" "head$head"
END
chmod +x next
shift=0

# shift_of HEADS BOARDS: so many boards in each head; the seconds it takes are in $seconds.
shift_of() {
  local heads=$1 boards=$2 ports=() head i first last
  rm -rf ./head* ./done* ./module* ./*.log
  for ((head = 1; head <= heads; head++)); do
    for ((i = 0; i < boards; i++)); do
      iotctl -q sim expresslink --link "./module$head.$i" --state "./module$head.$i.state" --broker-port "$port" --baud 115200 \
        --exec-time 5ms --exec-time "CONNECT=$connect" 2>"$head.$i.log" &
      modules+=($!)
    done
  done
  for ((head = 1; head <= heads; head++)); do
    for ((i = 0; i < boards; i++)); do
      until [ -L "module$head.$i" ]; do sleep 0.02; done
    done
    echo 0 >"done$head"
    ln -s "$(readlink "module$head.0")" "head$head"
    ports+=(--port "./head$head")
  done
  first=$EPOCHREALTIME
  iotctl -q station run recipe.json --station "s$shift" "${ports[@]}" --no-serials --count $((heads * boards)) -o jsonl >out </dev/null
  last=$EPOCHREALTIME
  [ "$(grep -c '"result":"pass"' out)" = $((heads * boards)) ]
  shift=$((shift + 1))
  kill "${modules[@]}"
  wait "${modules[@]}" 2>/dev/null || true
  modules=()
  seconds=$(awk -v us="$((${last/./} - ${first/./}))" 'BEGIN { print us / 1e6 }')
}

for ((round = 0; round < rounds; round++)); do
  shift_of 1 4
  one=$seconds
  shift_of 8 4
  awk -v one="$one" -v eight="$seconds" 'BEGIN {
    printf "one head: 4 boards in %.2f s, eight heads: 32 boards in %.2f s: %.2f times\n", one, eight, 8 * one / eight }' | tee -a rounds
done
shift_of 64 1
awk -v s="$seconds" 'BEGIN { printf "64 heads: 64 boards in %.2f s\n", s }'
awk '{ print $(NF - 1) }' rounds | sort -n | awk -v wanted="$wanted" '
  { v[NR] = $1 }
  END { m = v[int((NR + 1) / 2)]; printf "median %.2f times (wanted: at least %.1f)\n", m, wanted; exit m < wanted }'
