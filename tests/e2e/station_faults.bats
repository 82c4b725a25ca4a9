#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and station.bash share with the tests
# What goes wrong at a station: the scanner, the wrong board, the same board twice, other stations, the record, the hook. It stops
# one head, never the station, and nothing is done twice.

setup() {
  load common
  load station
  common_setup
  start_fleet
  write_recipe recipe.json "del(.hook)"
}

teardown() {
  common_teardown
}

# board HEAD [options]: a module that stays in this head
board() {
  put_in "$@"
  pids+=("$board_pid")
  until_true 20 test -L "./head$1"
  until_true 20 test -n "$(board_uid "$1")"
}

has_record() { [ -e "$(records)" ]; }

# shift_of LINE... -- [options]: a shift with that scanner; stdout in out, stderr in err
shift_of() {
  local lines=() got=0
  while [ "$1" != -- ]; do
    lines+=("$1")
    shift
  done
  shift
  printf '%s\n' "${lines[@]}" | iotctl station run recipe.json --station line1 -o jsonl "$@" >out 2>err || got=$?
  return "$got"
}

outcomes() { jq -rs 'sort_by(.head) | map("\(.head) \(.result) \(.serial // "-")") | join(", ")' out; }

@test "a scanner that types twice, types nonsense, and aims at a head" {
  board 1
  board 2
  shift_of 0001 0001 abc '@9' '@2' 0002 -- --port ./head1 --port ./head2 --count 2
  [ "$(outcomes)" = "1 pass 0001, 2 pass 0002" ] || [ "$(outcomes)" = "1 pass 0002, 2 pass 0001" ] || { cat out err >&2; false; }
  grep -q "'0001' was scanned twice" err
  grep -q "'abc' is no serial number of recipe" err
  grep -q "there is no head '9'" err
}

@test "a duplicate serial number stops its head only, and nothing is written into that board" {
  local before
  board 1
  shift_of 0001 -- --port ./head1 --count 1
  board 2
  before=$(cat board.2.state/state.json)
  local got=0
  shift_of 0001 -- --port ./head2 --count 1 || got=$?
  [ "$got" = 6 ]
  [ "$(outcomes)" = "2 fail 0001" ] || [ "$(outcomes)" = "1 fail 0001" ]
  [[ $(jq -r .error.line out) == *"serial number"*already* ]]
  [ "$(cat board.2.state/state.json)" = "$before" ]
  [ "$(iotctl device list --query length)" = 1 ]
  # with a number of its own the same board passes
  shift_of 0002 -- --port ./head2 --count 1
  [ "$(iotctl device list --query length)" = 2 ]
}

@test "two stations with one registry and one list of numbers: no number twice" {
  local head pid1 pid2
  for head in 1 2 3 4; do board "$head"; done
  XDG_STATE_HOME=$work/state1 iotctl station run recipe.json --station a --port ./head1 --port ./head2 --range 0001..0004 \
    --count 2 -o jsonl >a.out 2>a.err 3>&- &
  pid1=$!
  XDG_STATE_HOME=$work/state2 iotctl station run recipe.json --station b --port ./head3 --port ./head4 --range 0001..0004 \
    --count 2 -o jsonl >b.out 2>b.err 3>&- &
  pid2=$!
  wait "$pid1"
  wait "$pid2"
  [ "$(jq -rs 'map("\(.result) \(.serial)") | sort | join(", ")' a.out b.out)" = "pass 0001, pass 0002, pass 0003, pass 0004" ]
  [ "$(iotctl device list --query '[.[].attributes.serialNumber] | sort | join(" ")')" = "0001 0002 0003 0004" ]
}

@test "a number that another station took is skipped, recorded, and not asked for again" {
  local head pid1 pid2 file
  for head in 1 2 3 4; do board "$head"; done
  # b starts where a is half through: 0001 is taken, 0002 perhaps in the same moment
  XDG_STATE_HOME=$work/state1 expect 0 iotctl -q station run recipe.json --station a --port ./head1 --range 0001..0004 --count 1 -o jsonl
  XDG_STATE_HOME=$work/state1 iotctl station run recipe.json --station a --port ./head2 --range 0001..0004 --count 1 -o jsonl \
    >a.out 2>a.err </dev/null 3>&- &
  pid1=$!
  XDG_STATE_HOME=$work/state2 iotctl station run recipe.json --station b --port ./head3 --port ./head4 --range 0001..0004 --count 2 \
    -o jsonl >b.out 2>b.err </dev/null 3>&- &
  pid2=$!
  wait "$pid1"
  wait "$pid2"
  [ "$(jq -rs 'map("\(.result) \(.serial)") | sort | join(", ")' a.out b.out)" = "pass 0002, pass 0003, pass 0004" ]
  [ "$(iotctl device list --query '[.[].attributes.serialNumber] | sort | join(" ")')" = "0001 0002 0003 0004" ]
  [ "$(grep -c "number '0001' is skipped: device '$(board_uid 1)' has it" b.err)" = 1 ]
  file=$(echo "$fleet"/stations/b/*.jsonl)
  [ "$(jq -rs --arg uid "$(board_uid 1)" '[.[] | select(.kind == "skip" and .serial == "0001" and .owner == "device \u0027\($uid)\u0027")] | length' "$file")" = 1 ]
  expect 0 iotctl station verify "$file"
  # there is nothing left to give
  board 5
  XDG_STATE_HOME=$work/state3 expect 0 iotctl station run recipe.json --station c --port ./head5 --range 0001..0004 -o jsonl
  [ -z "$out" ]
  [ "$(grep -c 'is skipped' <<<"$err")" = 4 ]
  [[ $err == *"used up"* ]]
}

@test "a number that another station takes while a board makes its key: the board gets the next one" {
  local file
  line_of freertos expresslink
  rm "$(link_of 1)"
  kill "${pids[0]}"
  put_in 1 --fault slow=300ms
  pids+=("$board_pid")
  until_true 20 test -L "$(link_of 1)"
  XDG_STATE_HOME=$work/state1 iotctl station run recipe.json --station a "${ports[@]:0:2}" --range 0001..0004 --count 1 -o jsonl \
    >a.out 2>a.err </dev/null 3>&- &
  pids+=($!)
  until_true 20 grep -rqs '"kind":"begin"' "$fleet/stations/a"
  XDG_STATE_HOME=$work/state2 expect 0 iotctl -q station run recipe.json --station b "${ports[@]:2}" --range 0001..0004 --count 1 -o jsonl
  [ "$(jq -r .serial <<<"$out")" = 0001 ]
  wait "${pids[-1]}" || { cat a.out a.err >&2; false; }
  [ "$(jq -r '"\(.result) \(.serial)"' a.out)" = "pass 0002" ]
  file=$(echo "$fleet"/stations/a/*.jsonl)
  [ "$(jq -rs 'map(select(.kind == "begin" or .kind == "skip") | "\(.kind) \(.serial)") | join(", ")' "$file")" = \
    "begin 0001, skip 0001, begin 0002" ]
  expect 0 iotctl station verify "$file"
}

@test "who scans a number that is taken is told, and the head waits for another scan" {
  board 1
  board 2
  XDG_STATE_HOME=$work/state1 expect 0 iotctl -q station run recipe.json --station a --port ./head1 --range 0001..0001 --count 1 -o jsonl
  mkfifo scanner
  iotctl station run recipe.json --station line1 --port ./head2 --count 1 -o jsonl >out 2>err <scanner 3>&- &
  pids+=($!)
  exec {scanner}>scanner
  echo 0001 >&"$scanner"
  until_true 20 grep -q "number '0001' is taken: scan another one for head 1 (device '$(board_uid 1)' has it)" err
  echo 0002 >&"$scanner"
  until_true 20 gone "${pids[-1]}"
  exec {scanner}>&-
  [ "$(outcomes)" = "1 pass 0002" ]
  [ "$(jq -s '[.[] | select(.kind == "begin")] | length' "$(records)")" = 1 ]
}

@test "one station is run once; its port may be another's" {
  board 1
  iotctl -q station run recipe.json --station line1 --port ./nothing --no-serials >/dev/null 2>&1 </dev/null 3>&- &
  pids+=($!)
  until_true 10 has_record
  fault 4 "run by another process" iotctl station run recipe.json --station line1 --port ./head1 --no-serials -o jsonl
  kill "${pids[-1]}"
  wait "${pids[-1]}" || [ $? = 143 ]
  expect 0 iotctl station close --station line1 -o json
  fault 3 "no open shift" iotctl station close --station line1
  (exec 9<>head1; flock 9; echo held >held; exec sleep 20) &
  pids+=($!)
  until_true 10 test -s held
  expect 6 iotctl -q station run recipe.json --station line1 --port ./head1 --no-serials --count 1 -o jsonl
  [[ $(jq -r .error.line <<<"$out") == *"is in use by"* ]]
}

@test "a board with an identity is left alone, unless it is to be replaced" {
  board 1
  shift_of 0001 -- --port ./head1 --count 1
  # another shift, and another station that has never seen it
  cp board.1.state/state.json before.json
  timeout -s INT 5 iotctl -q station run recipe.json --station line1 --port ./head1 --range 0002..0009 -o jsonl >again.out 2>again.err || true
  XDG_STATE_HOME=$work/other timeout -s INT 5 iotctl -q station run recipe.json --station line2 --port ./head1 --range 0002..0009 \
    -o jsonl >other.out 2>other.err || true
  [ "$(jq -r .result again.out other.out | tr '\n' ' ')" = "known known " ]
  [[ $(jq -r .error.line again.out) == *"has an identity already"*"left alone"* ]]
  # who waits for a number of boards is told that this one is none of them
  timeout -s INT 5 iotctl station run recipe.json --station line1 --port ./head1 --range 0002..0009 --count 2 -o jsonl >again.out 2>again.err || true
  grep -q "put another board into head 1: that one is done and does not count (0 of 2)" again.err
  [ "$(iotctl device list --query '[.[].attributes.serialNumber] | join(" ")')" = 0001 ]
  expect 0 iotctl -q station close --station line1
  expect 0 iotctl -q station run recipe.json --station line1 --port ./head1 --range 0002..0009 --replace --count 1 -o jsonl
  [ "$(jq -r '[.result, .serial] | join(" ")' <<<"$out")" = "pass 0001" ]
}

@test "a board that is not for the recipe is refused before anything is written" {
  local before
  board 1
  write_recipe recipe.json 'del(.hook) | .expect = {model: "Pump*", version: "1.*"}'
  before=$(cat board.1.state/state.json; fleet_state | grep -v stations)
  expect 6 iotctl -q station run recipe.json --station line1 --port ./head1 --range 0001..0009 --count 1 -o jsonl
  [[ $(jq -r .error.line <<<"$out") == *"not a board for recipe"*"nothing was changed"* ]]
  [ "$(cat board.1.state/state.json; fleet_state | grep -v stations)" = "$before" ]
  [ "$(jq -r '.serial // "-"' <<<"$out")" = - ]
}

@test "the same board in two heads is done once" {
  board 1
  kill "$board_pid"
  wait "$board_pid" || true
  rm -f head1
  cp -r board.1.state twin.state
  rm -f twin.state/lock
  iotctl -v sim expresslink --link ./head1 --state board.1.state --broker-port "$port" --exec-time 20ms 2>one.log 3>&- &
  pids+=($!)
  iotctl -v sim expresslink --link ./head2 --state twin.state --broker-port "$port" --exec-time 20ms 2>two.log 3>&- &
  pids+=($!)
  until_true 20 test -L head1
  until_true 20 test -L head2
  expect 6 iotctl -q station run recipe.json --station line1 --port ./head1 --port ./head2 --range 0001..0009 --count 2 -o jsonl
  [ "$(jq -rs 'map(.result) | sort | join(" ")' <<<"$out")" = "fail pass" ]
  [[ $(jq -r 'select(.result == "fail").error.line' <<<"$out") == *"is in head"*already* ]]
  [ "$(iotctl device list --query length) $(iotctl cert list --query length)" = "1 1" ]
}

@test "a board that hangs takes its time and no more; the others go on" {
  board 1
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_pty" head2 silent 3>&- &
  pids+=($!)
  until_true 10 test -L head2
  write_recipe recipe.json 'del(.hook) | .limits.time = "2s" | .limits.attempts = 1'
  expect 6 iotctl -q station run recipe.json --station line1 --port ./head1 --port ./head2 --range 0001..0009 --count 2 -o jsonl
  [ "$(jq -rs 'sort_by(.head) | map(.result) | join(" ")' <<<"$out")" = "pass fail" ]
  [ "$(jq -r 'select(.head == 2) | .ms < 6000' <<<"$out")" = true ]
}

@test "a hook that fails or hangs changes nothing about the board; a label that cannot be made does" {
  board 1
  board 2
  write_recipe recipe.json '.hook.time = "500ms" | .label = {text: "{serial}"}'
  printf '#!/bin/bash\nread -r line; case $line in *\\"head\\":1,*) exit 3 ;; *) sleep 30 ;; esac\n' >hook
  expect 0 iotctl station run recipe.json --station line1 --port ./head1 --port ./head2 --range 0001..0009 --count 2 -o jsonl
  [[ $err == *"hook failed for board"*"code 3"* ]]
  [[ $err == *"hook was not told of board"* ]]
  board 3
  : >labels
  write_recipe recipe.json 'del(.hook) | .label = {text: "{serial}"}'
  expect 6 iotctl -q station run recipe.json --station line1 --port ./head3 --range 0003..0009 --labels labels --count 1 -o jsonl
  [[ $(jq -r '.step + " " + .error.line' <<<"$out") == label*"making the label"* ]]
  # it passes when it is put in again, with the number it has
  rm labels
  expect 0 iotctl -q station run recipe.json --station line1 --port ./head3 --range 0004..0009 --labels labels --count 1 --replace -o jsonl
  [ "$(cat labels/0003.txt)" = 0003 ]
}

@test "other boards are recognised on the same port" {
  local uid
  work_at 1 3 # who works there hears nothing without a hook
  write_recipe recipe.json
  expect 0 iotctl -q station run recipe.json --station line1 --port ./head1 --range 0001..0009 --start swap --count 3 -o jsonl
  [ "$(jq -rs 'map(.result) | join(" ")' <<<"$out")" = "pass pass pass" ]
  one_each 3
}

@test "the next board begins when its number is scanned" {
  board 1
  mkfifo scanner
  iotctl -q station run recipe.json --station line1 --port ./head1 --start scan -o jsonl <scanner >out 2>err 3>&- &
  pids+=($!)
  exec {typed}>scanner
  echo 0001 >&"$typed"
  until_true 20 grep -q '"serial":"0001"' out
  exec {typed}>&-
  until_true 20 gone "${pids[-1]}"
  wait "${pids[-1]}"
  [ "$(outcomes)" = "1 pass 0001" ]
}

@test "a record that was cut off goes on; one that was changed does not, and the line is named" {
  local file got=0
  board 1
  mkfifo never
  iotctl -q station run recipe.json --station line1 --port ./head1 --range 0001..0009 -o jsonl >out 2>err </dev/null 3>&- &
  pids+=($!)
  until_true 20 grep -q '"result":"pass"' out
  kill -9 "${pids[-1]}"
  wait "${pids[-1]}" || true
  file=$(records)
  fault 11 "was not closed" iotctl station verify "$file"
  expect 0 iotctl station verify --open "$file"
  printf '{"seq":4,"prev":"00' >>"$file"
  board 2
  expect 0 iotctl -q station run recipe.json --station line1 --port ./head2 --range 0001..0009 --count 2 -o jsonl
  [ "$(jq -r .serial <<<"$out")" = 0002 ]
  [ "$(jq -s '[.[] | select(.kind == "resume") | .tornBytes] | add' "$file")" = 19 ]
  expect 0 iotctl station verify "$file"
  sed '3s/pass/fail/' "$file" >changed
  fault 11 "line 3 was altered" iotctl station verify changed --key "${file%/*}/station.pub"
  sed 3d "$file" >changed
  fault 11 "1 line is missing before line 3" iotctl station verify changed --key "${file%/*}/station.pub"
  sed 3p "$file" >changed
  fault 11 "line 3 was added" iotctl station verify changed --key "${file%/*}/station.pub"
  sed '$d' "$file" >changed
  fault 11 "was not closed" iotctl station verify changed --key "${file%/*}/station.pub"
  iotctl codesign public >stranger.pub
  fault 11 "another station's key" iotctl station verify "$file" --key stranger.pub
  # the shift after it follows on it
  board 3
  expect 0 iotctl -q station run recipe.json --station line1 --port ./head3 --range 0001..0009 --count 1 -o jsonl
  # shellcheck disable=SC2086 # file names without blanks below a folder with one
  (cd "${file%/*}" && iotctl station verify ./*.jsonl >/dev/null)
  [ "$(stat -c %a "${file%/*}/station.key")" = 600 ]
}

begun() { [ "$(grep -c '"kind":"begin"' "$(records)")" = "$1" ]; }
room_of() { prlimit --pid "$1" --fsize="$(($(stat -c %s "$(records)") + $2))"; } # PROCESS BYTES: so much more may be written

# full_disk BOARDS BYTES: the disk is full when so many boards were begun, after so many bytes more
full_disk() {
  local file station got=0 line=(iotctl -q station run recipe.json --station line1 --port ./head1 --port ./head2 --range 0001..0009
    -o jsonl --count 2)
  board 1
  mkfifo never
  (trap '' XFSZ && exec "${line[@]}") >out 2>err <never 3>&- &
  station=$!
  pids+=("$station")
  exec 4>never
  until_true 20 grep -q '"result":"pass"' out
  file=$(records)
  [ "$1" = 2 ] || room_of "$station" "$2"
  board 2 --fault slow=100ms 4>&- # time enough to look at the record
  if [ "$1" = 2 ]; then
    until_true 20 begun 2
    room_of "$station" "$2"
  fi
  until_true 30 gone "$station" || { cat out err "$file"; false; }
  wait "$station" || got=$?
  exec 4>&-
  [ "$got" = 1 ]
  [ "$(wc -l <err)" = 1 ]
  [[ $(<err) == *"cannot write record '$file'"*"make room and start the station again: it goes on where it was" ]]
  # what is there is whole, and tells no board that was not done
  expect 0 iotctl station verify --open "$file"
  [ "$(results '[.[] | .serial] | join(" ")')" = '"0001"' ]
  [ "$(jq -rs 'map(select(.result == "pass") | .serial) | join(" ")' out)" = 0001 ]
  # there is room again: the board in the second head is done, and the first one is not done twice
  expect 0 "${line[@]}"
  [ "$(jq -rs 'map(select(.result == "pass") | .serial) | join(" ")' <<<"$out")" = 0002 ]
  [ "$(results '[.[] | "\(.head) \(.result) \(.serial)"] | join(", ")')" = '"1 pass 0001, 1 known null, 2 pass 0002"' ]
  expect 0 iotctl station verify "$file"
  [ "$(iotctl device list --query '[.[].alias] | sort | join(" ")')" = "pump-0001 pump-0002" ]
}

@test "the disk is full before a board is begun: nothing is lost, one line says it, the same command goes on" {
  full_disk 1 100
}

@test "the disk is full when a board is done, and half of its line was written" {
  full_disk 2 100
}

@test "the operator's screen: big words, the scanner is not drawn, Ctrl-D ends and signs" {
  board 1
  mkfifo keys
  TERM=xterm CI= script -q -e -c "stty rows 30 cols 100; iotctl station run recipe.json --station line1 --port ./head1" screen.log <keys >/dev/null 2>&1 3>&- &
  pids+=($!)
  exec {keys}>keys
  until_true 20 grep -q 'scan its serial number' screen.log
  echo 0001 >&"$keys"
  until_true 20 grep -q 'PASS 1 ' screen.log
  grep -q '####' screen.log
  printf '\004' >&"$keys"
  until_true 20 gone "${pids[-1]}"
  exec {keys}>&-
  grep -q 'closed and signed: 1 passed' screen.log
  not grep -q $'\033\\[1;37;42m' screen.log # NO_COLOR
}

# --- heads of several kinds ----------------------------------------------------------------------------------

# line_of HEAD KIND...: a board of each kind in the heads from 1 on; ports in $ports
line_of() {
  local kind head=0
  ports=()
  write_recipes "del(.hook)"
  for kind in "$@"; do
    head=$((head + 1))
    [ "$kind" = expresslink ] || kind_at[$head]=$kind
    put_in "$head"
    pids+=("$board_pid")
    ports+=(--port "$(port_of "$head")")
    until_true 20 test -L "$(link_of "$head")"
  done
}

@test "OpenOCD is missing, of another version, killed, or hangs: its head fails, the other goes on" {
  local how says
  line_of expresslink swd
  jq '.limits.attempts = 1 | .limits.time = "3s"' swd.json >short.json
  mv short.json swd.json
  mkdir fake
  while IFS='|' read -r how script says; do
    rm -rf "$fleet/stations" fake/openocd
    [ "$how" = missing ] || { printf '#!/bin/bash\necho "$$" >%q/openocd.pid\n%s\n' "$work" "$script" >fake/openocd && chmod +x fake/openocd; }
    if [ "$how" = missing ]; then path=$IOTCTL_BIN; else path=$work/fake:$PATH; fi
    # a board that passed is done: it is done again
    PATH=$path expect 6 "$IOTCTL_BIN/iotctl" -q station run recipe.json --station line1 "${ports[@]}" --range 0001..0009 --count 2 --replace -o jsonl
    [ "$(jq -rs 'sort_by(.head) | map(.result) | join(" ")' <<<"$out")" = "pass fail" ]
    [[ $(jq -r 'select(.head == 2).error.line' <<<"$out") == *"$says"* ]] || { echo "$how: $out" >&2; false; }
    [ ! -e openocd.pid ] || until_true 10 gone "$(cat openocd.pid)"
  done <<'TABLE'
missing||program 'openocd' is not there
old|echo "Open On-Chip Debugger 0.8.0"; echo "Error: Can't find target/stm32f1x.cfg"; exit 1|is OpenOCD new enough
killed|kill -9 $$|ended by signal 9
hanging|exec sleep 100|longer than 3 seconds
TABLE
  [ "$(iotctl cert list --query length)" = 1 ]
}

@test "two heads that name one debug probe: one of them gets it" {
  line_of swd
  ln -s head1.swd head2.swd
  expect 6 iotctl -q station run recipe.json --station line1 --port buspirate:./head1.swd --port buspirate:./head2.swd \
    --range 0001..0009 --count 2 -o jsonl
  [ "$(jq -rs 'map(.result) | sort | join(" ")' <<<"$out")" = "fail pass" ]
  [[ $(jq -r 'select(.result == "fail").error.line' <<<"$out") == *"is in use by"* ]] ||
    [[ $(jq -r 'select(.result == "fail").error.line' <<<"$out") == *"is in head"*already* ]]
  [ "$(iotctl cert list --query length)" = 1 ]
}

@test "a board of another kind than the head's recipe is refused, and nothing is written" {
  local before
  line_of freertos sim7600 zephyr
  before=$(cat board.*.state/state.json; fleet_state | grep -v stations)
  # each kind in a head of the next
  mv head1.freertos swapped.sim7600
  mv head2.sim7600 swapped.zephyr
  mv head3.zephyr swapped.freertos
  sed -i 's|head\*|swapped|' recipe.json
  expect 6 iotctl -q station run recipe.json --station line1 --port ./swapped.sim7600 --port ./swapped.zephyr \
    --port ./swapped.freertos --range 0001..0009 --count 3 -o jsonl
  [ "$(jq -rs 'map(.result) | join(" ")' <<<"$out")" = "fail fail fail" ]
  [ "$(cat board.*.state/state.json; fleet_state | grep -v stations)" = "$before" ]
  # the operator is told what to do with it, not which options a command has
  [ "$(jq -r .error.code <<<"$out" | sort -u)" = OtherKind ] || [ "$(jq -r .error.code <<<"$out" | sort -u | tr '\n' ' ')" = "NoAnswer OtherKind " ]
  not grep -e ' --' <(jq -r .error.line <<<"$out")
  [ "$(jq -r .error.line <<<"$out" | grep -c "; take it out: '[a-z0-9]*' belongs here$")" -ge 2 ]
}

@test "boards that cannot say who they are get numbers of their own, and are known afterwards" {
  line_of freertos freertos
  expect 0 iotctl -q station run recipe.json --station line1 "${ports[@]}" --range 0001..0009 --count 2 -o jsonl
  one_each 2
  timeout -s INT 6 iotctl -q station run recipe.json --station line1 "${ports[@]}" --range 0003..0009 -o jsonl >again.out 2>again.err || true
  [ "$(jq -rs 'map(.result) | join(" ")' again.out)" = "known known" ]
  # a blank one that is given the number of another fails, and nothing is written into it
  iotctl -q station close --station line1 >/dev/null
  rm "$(link_of 1)"
  put_in 1
  pids+=("$board_pid")
  until_true 20 test -L "$(link_of 1)"
  shift_of 0001 -- --port "$(port_of 1)" --count 1 || true
  [ "$(jq -r .result out)" = fail ]
  [[ $(jq -r .error.line out) == *"'pump-0001' had another key"* ]]
  [ "$(iotctl cert list --query length)" = 2 ]
}
