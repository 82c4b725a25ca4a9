#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and station.bash share with the tests
# A station with eight heads works through boards by itself; and whatever happens, every board has one identity and the record
# proves it. With --soak ten times as many boards, and more kills.

setup() {
  load common
  load station
  common_setup
}

teardown() {
  common_teardown
}

# Each row: head, kind, boards in a normal run and in a soak, and what is wrong with them.
line_rows() {
  local kinds=() good=0
  mapfile -t kinds < <(serial_kinds)
  for head in 1 2 3 4 5 6; do
    echo "$head ${kinds[good++ % ${#kinds[@]}]} 15 150"
  done
  echo "7 expresslink 4 40 --fault err=CONF? ThingName:11" # does not say who it is
  echo "8 freertos 4 40 --fault fail-import@tls_cert" # refuses a step in the middle
  echo "9 swd 2 20"
}

@test "eight heads of several kinds, two of them faulty, and a debug probe work through 100 boards" {
  local head kind few many options passed=0 failed=0 ports=() fault started
  start_fleet
  write_recipes '.label = {text: "{serial}\n{uid}", qr: "{name}"}'
  while read -r head kind few many options; do
    [ -z "${IOTCTL_SOAK:-}" ] || few=$many
    [ "$kind" = expresslink ] || kind_at[$head]=$kind
    ports+=(--port "$(port_of "$head")")
    fault=()
    [ -z "$options" ] || fault=("${options%% *}" "${options#* }")
    work_at "$head" "$few" "${fault[@]}"
    if [ -z "$options" ]; then passed=$((passed + few)); else failed=$((failed + few)); fi
  done < <(line_rows)
  started=$SECONDS
  expect 6 station "${ports[@]}" --range 0001..9999 --count $((passed + failed)) --labels labels -o jsonl
  echo "$((passed + failed)) boards in $((SECONDS - started)) s" >&2
  iotctl station report --station line1 >&2
  # with a query it is one document
  iotctl station report --station line1 --query .takt >/dev/null
  [ "$(wc -l <<<"$out")" = $((passed + failed)) ]
  [ "$(jq -s 'map(select(.result == "pass")) | length' <<<"$out")" = "$passed" ]
  [ "$(jq -s 'map(select(.result == "fail")) | group_by(.head) | map([.[0].head, length])' -c <<<"$out")" = \
    "[[7,$((failed / 2))],[8,$((failed / 2))]]" ]
  [[ $err == *"$failed of $((passed + failed)) boards failed"* ]]
  # what failed on the way has a thing, because its number is reserved; what passed has everything
  [ "$(results 'map(select(.result == "pass") | .uid) | unique | length')" = "$passed" ]
  [ "$(results 'map(select(.result == "pass") | .serial) | unique | length')" = "$passed" ]
  [ "$(results 'map(select(.result == "pass") | .device.board) | unique | length')" = "$(kind_rows | wc -l)" ]
  # a key that was sent over a wire is counted
  [ "$(iotctl station report --station line1 --query .exposedOnWire)" = \
    "$(results 'map(select(.result == "pass" and .device.keyOrigin == "host")) | length')" ]
  [ "$(ls labels/*.png | wc -l) $(ls labels/*.txt | wc -l)" = "$passed $passed" ]
  # shellcheck disable=SC2046 # one word each
  iotctl station verify "$(records)" >/dev/null
  [ "$(iotctl station report --station line1 --query '[.passed, .failed] | join(" ")')" = "$passed $failed" ]
  [ "$(iotctl station report --station line1 --query '.faults | map(.count) | add')" = "$failed" ]
  [ "$(iotctl station export --station line1 -o csv | wc -l)" = $((passed + failed + 1)) ]
  no_key_left
}

# Nothing was lost: what passed has one identity, the record is whole, and no board failed for having been interrupted.
nothing_lost() {
  one_each "$(results 'map(select(.result == "pass")) | length')"
  iotctl station verify "$(records)" >/dev/null
  [ "$(results 'map(select(.result == "fail")) | length')" = 0 ] || { results 'map(select(.result == "fail"))' >&2; return 1; }
  no_key_left
}

people() { # KIND...: somebody who never ends at a head for each
  local kind head=0
  ports=()
  for kind in "$@"; do
    head=$((head + 1))
    [ "$kind" = expresslink ] || kind_at[$head]=$kind
    ports+=(--port "$(port_of "$head")")
    work_at "$head" 1000000
  done
}

@test "killed at every point of the journal, for every kind of board, the same command goes on" {
  local journal=$XDG_STATE_HOME/iotctl/default/journal.db kinds=() left=() ports kills=0 code
  start_fleet
  write_recipes
  # A debug probe is slow, and killed at each of its points elsewhere, too (fleet/provision_kills).
  mapfile -t kinds < <(if [ -n "${IOTCTL_SOAK:-}" ]; then kind_rows | cut -d' ' -f1; else serial_kinds; fi)
  people "${kinds[@]}"
  # The points are those that the journal has when nothing is killed: a board of each kind.
  run_station "${ports[@]}" --range 0001..9999
  until_true 60 all_kinds_done
  kill_station || false
  mapfile -t left < <(sqlite3 "$journal" "SELECT DISTINCT kind || ':' || name FROM steps JOIN boards ON board = id
    WHERE boards.state = 'done' UNION SELECT DISTINCT kind || ':reserve' FROM boards")
  echo "${#left[@]} points" >&2
  [ "${#left[@]}" -ge $((${#kinds[@]} * 8)) ]
  linger "$journal"
  while [ "${#left[@]}" -gt 0 ]; do
    run_station "${ports[@]}" --range 0001..9999
    code=0
    "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_killpoint" "$journal" "$station_pid" 40 "${left[@]}" >places || code=$?
    [ "$code" = 0 ] || { echo "never at: ${left[*]}" >&2; open_boards >&2; false; }
    kill_station || true # it is dead
    kills=$((kills + 1))
    mapfile -t left < <(printf '%s\n' "${left[@]}" | grep -v -x -F -f places)
  done
  finish_shift "${ports[@]}" --range 0001..9999
  nothing_lost
  echo "$kills kills, $(results 'map(select(.result == "pass")) | length') boards, nothing lost" >&2
}

# A board is at some steps for less than a millisecond: it stays a little before it may write the next one, so that it is
# seen there on a busy machine, too.
linger() { # JOURNAL
  sqlite3 "$1" "CREATE VIEW a_moment AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 50000)
      SELECT count(x) AS ticks FROM n;
    CREATE TRIGGER before_step BEFORE INSERT ON steps BEGIN SELECT ticks FROM a_moment; END;"
}

all_kinds_done() {
  [ "$(sqlite3 "$journal" "SELECT count(DISTINCT kind) FROM boards WHERE state = 'done'")" = "${#kinds[@]}" ]
}

@test "killed at any moment the same command goes on: one identity per board, and the record is whole" {
  local kills=0 wanted=8 seed=${IOTCTL_SEED:-$RANDOM} kinds ports
  [ -z "${IOTCTL_SOAK:-}" ] || wanted=${IOTCTL_KILLS:-1000}
  echo "seed $seed" >&2
  RANDOM=$seed
  start_fleet
  write_recipes
  mapfile -t kinds < <(serial_kinds)
  people "${kinds[@]}" "${kinds[@]}" swd
  while [ "$kills" -lt "$wanted" ]; do
    run_station "${ports[@]}" --range 000001..999999
    # A debug probe is slow: now and then it gets the time for it.
    if [ $((RANDOM % 8)) = 0 ]; then sleep "$((RANDOM % 6)).$((RANDOM % 10))"; else sleep "0.$((RANDOM % 900 + 100))"; fi
    kill_station || { tail -3 err >&2; false; }
    kills=$((kills + 1))
    [ $((kills % 100)) != 0 ] || echo "$kills kills, $(results 'map(select(.result == "pass")) | length') boards" >&2
  done
  finish_shift "${ports[@]}" --range 000001..999999
  nothing_lost
  echo "$kills kills, $(results 'map(select(.result == "pass")) | length') boards, nothing lost" >&2
}
