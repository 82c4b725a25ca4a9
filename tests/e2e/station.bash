# shellcheck shell=bash disable=SC2154,SC2034 # what common.bash and the tests share
# A factory line for tests: software modules in the heads of a station, and somebody at each head who takes a board out when
# the station has told of it and puts the next one in.

write_recipe() { # FILE [jq FILTER]: a line recipe
  jq -n '{name: "pump line", board: "expresslink", device: {name: "pump-{serial}", type: "pump"}, serial: "[0-9]+",
    limits: {time: "60s", connect: "20s", attempts: 2}, hook: {command: ["./hook"], time: "20s"}}' | jq "${2:-.}" >"$1"
  # Who works at a head hears through its pipe which board is done.
  cat >hook <<'END'
#!/bin/bash
read -r line
[[ $line =~ \"head\":([0-9]+), ]] && head=${BASH_REMATCH[1]}
[[ $line =~ \"uid\":\"([^\"]+)\" ]] && uid=${BASH_REMATCH[1]}
[ ! -p "swap.$head" ] || echo "${uid:-none}" >"swap.$head"
END
  chmod +x hook
}

# put_in HEAD [options]: a new module; its process in $board_pid, its UID (once it is up) in board.HEAD.log.
put_in() {
  local head=$1
  shift
  rm -rf "board.$head.state"
  : >"board.$head.log"
  iotctl -v sim expresslink --link "./head$head" --state "board.$head.state" --broker-port "$port" "$@" 2>>"board.$head.log" 3>&- &
  board_pid=$!
}

take_out() { # HEAD
  kill "$board_pid" 2>/dev/null || true
  wait "$board_pid" 2>/dev/null || true
  rm -f "./head$1"
  grep -h -e 'Sanitizer: ' -e 'runtime error: ' "board.$1.log" >>sanitizer.log || true
}

board_uid() { grep -o '[0-9a-f-]\{36\}: started' "board.$1.log" | head -1 | cut -d: -f1; } # HEAD

# somebody_at HEAD N [options]: puts N boards in, one after the other; in the background: see work_at.
somebody_at() {
  local head=$1 left=$2 uid swap_fd board_pid
  shift 2
  trap 'kill "$board_pid" 2>/dev/null; exit 0' TERM
  exec {swap_fd}<>"swap.$head"
  while [ "$left" -gt 0 ]; do
    put_in "$head" "$@"
    # Told twice of a board (once more after a kill) is told once; one that did not say its name is taken at its word.
    while read -r -u "$swap_fd" uid; do
      if [ "$uid" = none ] || [ "$uid" = "$(board_uid "$head")" ]; then break; fi
    done
    take_out "$head"
    left=$((left - 1))
  done
}

work_at() { # HEAD N [options]
  [ -p "swap.$1" ] || mkfifo "swap.$1"
  somebody_at "$@" 3>&- &
  pids+=($!)
}

station() { # options: in the foreground
  iotctl -q station run recipe.json --station line1 "$@"
}

records() { echo "$fleet"/stations/line1/*.jsonl; }
results() { jq -s "[.[] | select(.kind == \"result\")] | $1" "$fleet"/stations/line1/*.jsonl; } # jq FILTER

# One identity per board, one board per identity, and the record agrees: N boards passed.
one_each() { # N
  [ "$(iotctl device list --query length) $(iotctl cert list --query length)" = "$1 $1" ] || return 1
  [ "$(results 'map(select(.result == "pass")) | [length, (map(.uid) | unique | length), (map(.serial) | unique | length)]
    | join(" ")')" = "\"$1 $1 $1\"" ] || { results 'map([.uid, .serial, .result])' >&2; return 1; }
  [ "$(iotctl device list --query '[.[] | .attributes.serialNumber] | sort | join(" ")')" = \
    "$(results 'map(select(.result == "pass") | .serial) | sort | join(" ")' | jq -r .)" ]
}
