# shellcheck shell=bash disable=SC2154,SC2034 # what common.bash and the tests share
# A factory line for tests: software boards in the heads of a station, and somebody at each head who takes a board out when
# the station has told of it and puts the next one in. Every kind of board is a row:
#
#   KIND | what a recipe calls it | port of head N (%) | the program of a board, to which --link and --state are added

kind_rows() {
  cat <<'END_ROWS'
expresslink | expresslink | ./head% | iotctl -v sim expresslink
freertos | stm32u5 | ./head%.freertos | iotctl -v sim board --kind freertos
sim7600 | sim7600 | ./head%.sim7600 | iotctl -v sim board --kind sim7600
zephyr | zephyr-app.json | ./head%.zephyr | iotctl -v sim board --kind zephyr
nrf91 | nrf91 | ./head%.nrf91 | iotctl -v sim board --kind nrf91
swd | stm32f1 | buspirate:./head%.swd | swd_target
END_ROWS
}
serial_kinds() { kind_rows | cut -d' ' -f1 | grep -v swd; } # what has a serial port, in the order of the rows

kind_part() { # KIND PART (2: board, 3: port, 4: program)
  kind_rows | awk -F ' [|] ' -v kind="$1" -v part="$2" '$1 == kind { print $part }'
}

declare -A kind_at=() # kinds of the heads that hold no ExpressLink module
kind_of() { echo "${kind_at[$1]:-expresslink}"; } # HEAD
port_of() { local port; port=$(kind_part "$(kind_of "$1")" 3); echo "${port/\%/$1}"; } # HEAD
link_of() { local port; port=$(port_of "$1"); echo "${port#*:}"; } # HEAD

# Each chip has an id of its own, also after it lost its power.
swd_target() { # --link LINK --state DIR
  mkdir -p "$4"
  [ -e "$4/uid" ] || od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$4/uid"
  exec "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/swdsim" --chip stm32f1 --flash "$4/flash" --uid "$(cat "$4/uid")" --link "$2" "${@:5}"
}

write_recipe() { # FILE [jq FILTER]: a line recipe
  jq -n '{name: "pump line", board: "expresslink", device: {name: "pump-{serial}", type: "pump"}, serial: "[0-9]+",
    limits: {time: "120s", connect: "20s", attempts: 2}, hook: {command: ["./hook"], time: "20s"}}' | jq "${2:-.}" >"$1"
  # Who works at a head hears through its pipe which board is done.
  cat >hook <<'END_HOOK'
#!/bin/bash
read -r line
[[ $line =~ \"head\":([0-9]+), ]] && head=${BASH_REMATCH[1]}
[[ $line =~ \"uid\":\"([^\"]+)\" ]] && uid=${BASH_REMATCH[1]}
[ ! -p "swap.$head" ] || echo "${uid:-none}" >"swap.$head"
END_HOOK
  chmod +x hook
}

# write_recipes [jq FILTER]: recipe.json, and beside it one for the heads of every other kind
write_recipes() {
  local kind board port heads='[]'
  while IFS='|' read -r kind board port _; do
    kind=${kind% } board=${board# } port=${port# }
    board=${board% } port=${port% }
    [ "$kind" != expresslink ] || continue
    write_recipe "$kind.json" "del(.hook) | ${1:-.} | .name = \"$kind line\" | .board = \"$board\"
      | if .board == \"nrf91\" then del(.device.name) else . end" # its application connects as nrf-IMEI, whatever it is called
    heads=$(jq -c --arg port "${port/\%/*}" --arg recipe "$kind.json" '. + [{port: $port, recipe: $recipe}]' <<<"$heads")
  done < <(kind_rows)
  cp "$BATS_TEST_DIRNAME/zephyr-app.json" .
  write_recipe recipe.json "${1:-.} | .heads = $heads"
}

# put_in HEAD [options]: a new board; its process in $board_pid, its UID (a module's, once it is up) in board.HEAD.log.
put_in() {
  rm -rf "board.$1.state"
  : >"board.$1.log"
  turn_on "$@"
}

# turn_on HEAD [options]: the board that is there
turn_on() {
  local head=$1 kind program
  shift
  kind=$(kind_of "$head")
  read -r -a program < <(kind_part "$kind" 4)
  [ "$kind" != expresslink ] || set -- --broker-port "$port" "$@"
  [ "$kind" != nrf91 ] || set -- --endpoint "localhost:$port" "$@" # its application is built for one
  "${program[@]}" --link "$(link_of "$head")" --state "${state:-board.$head.state}" "$@" >>"board.$head.log" 2>&1 3>&- &
  board_pid=$!
}

take_out() { # HEAD
  rm -f "$(link_of "$1")" # first: another board's pty may get the number of this one's
  kill "$board_pid" 2>/dev/null || true
  wait "$board_pid" 2>/dev/null || true
  grep -h -e 'Sanitizer: ' -e 'runtime error: ' "board.$1.log" >>sanitizer.log || true
}

board_uid() { grep -o '[0-9a-f-]\{36\}: started' "board.$1.log" | head -1 | cut -d: -f1; } # HEAD

# somebody_at HEAD N [options]: puts N boards in, one after the other, or until there is a file "stop"; in the background: see
# work_at.
somebody_at() {
  local head=$1 left=$2 uid swap_fd board_pid state
  declare -A told=()
  shift 2
  trap 'kill "$board_pid" 2>/dev/null; exit 0' TERM
  exec {swap_fd}<>"swap.$head"
  while [ "$left" -gt 0 ] && [ ! -e stop ]; do
    state=board.$head.$left.state # where it is kept is what some boards have their id from
    put_in "$head" "$@"
    # Told twice of a board (once more after a kill) is told once; one that did not say its name is taken at its word.
    while read -r -u "$swap_fd" uid; do
      if [ "$uid" = none ] || [ -z "${told[$uid]:-}" ]; then break; fi
    done
    told[$uid]=1
    take_out "$head"
    rm -rf "$state"
    left=$((left - 1))
  done
}

work_at() { # HEAD N [options]
  [ -p "swap.$1" ] || mkfifo "swap.$1"
  somebody_at "$@" 3>&- &
  pids+=($!)
}

# run_station: in the background, without an end; its process in $station_pid
run_station() {
  iotctl -q station run recipe.json --station line1 "$@" -o jsonl >>out 2>>err </dev/null 3>&- &
  station_pid=$!
}

kill_station() { # after which it does not live; fails if it did not before
  local code=0
  {
    kill -9 "$station_pid" || true
    wait "$station_pid" || code=$?
  } 2>/dev/null
  [ "$code" = 137 ]
}

# finish_shift: everybody finishes the board that is in the head, and the shift is closed.
finish_shift() {
  local pid
  touch stop
  run_station "$@"
  for pid in "${pids[@]}"; do
    until_true 120 gone "$pid"
  done
  kill "$station_pid" # the shell has it ignore SIGINT
  wait "$station_pid" || [ $? = 143 ]
  iotctl -q station close --station line1 >/dev/null
}

station() { # options: in the foreground
  iotctl -q station run recipe.json --station line1 "$@"
}

records() { echo "$fleet"/stations/line1/*.jsonl; }
results() { jq -s "[.[] | select(.kind == \"result\")] | $1" "$fleet"/stations/line1/*.jsonl; } # jq FILTER

# What the journal says of boards that were not finished, and what the station said last: for who reads why a test failed.
open_boards() {
  sqlite3 "$XDG_STATE_HOME/iotctl/default/journal.db" "SELECT boards.*, (SELECT group_concat(name || '=' || steps.state, ' ')
    FROM steps WHERE board = id) FROM boards WHERE state = 'open'"
  tail -5 err
}

# One identity per board, one board per identity, and the record agrees: N boards passed.
one_each() { # N
  [ "$(iotctl device list --query length) $(iotctl cert list --query length)" = "$1 $1" ] || {
    echo "$1 boards passed, $(iotctl device list --query length) things, $(iotctl cert list --query length) certificates" >&2
    diff <(iotctl device list --query '.[].attributes.serialNumber' | sort) \
      <(results 'map(select(.result == "pass") | .serial)[]' | jq -r . | sort) >&2
    open_boards >&2
    return 1
  }
  [ "$(results 'map(select(.result == "pass")) | [length, (map(.uid) | unique | length), (map(.serial) | unique | length)]
    | join(" ")')" = "\"$1 $1 $1\"" ] || { results 'map([.uid, .serial, .result])' >&2; return 1; }
  [ "$(iotctl device list --query '[.[] | .attributes.serialNumber] | sort | join(" ")')" = \
    "$(results 'map(select(.result == "pass") | .serial) | sort | join(" ")' | jq -r .)" ]
}

# No private key stays, under whatever name; half of a file that is no secret may, beside the whole one.
no_key_left() {
  [ -z "$(find "$fleet" "$XDG_STATE_HOME" -type f -newer recipe.json ! -name station.key -exec grep -l 'PRIVATE KEY' {} +)" ]
}
