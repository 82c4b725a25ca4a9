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

@test "eight heads, two of them faulty, work through 100 boards" {
  local each=15 bad=5 head ports=()
  [ -z "${IOTCTL_SOAK:-}" ] || each=150 bad=50
  start_fleet
  write_recipe recipe.json '.label = {text: "{serial}\n{uid}", qr: "{name}"}'
  for head in 1 2 3 4 5 6 7 8; do
    ports+=(--port "./head$head")
  done
  for head in 1 2 3 4 5 6; do
    work_at "$head" "$each"
  done
  work_at 7 "$bad" --fault 'err=CONF? ThingName:11' # does not say who it is
  work_at 8 "$bad" --fault 'err=CONF HOTAcertificate:11' # refuses a step in the middle
  expect 6 station "${ports[@]}" --range 0001..9999 --count $((each * 6 + bad * 2)) --labels labels -o jsonl
  [ "$(wc -l <<<"$out")" = $((each * 6 + bad * 2)) ]
  [ "$(jq -s 'map(select(.result == "pass")) | length' <<<"$out")" = $((each * 6)) ]
  [ "$(jq -s 'map(select(.result == "fail")) | group_by(.head) | map([.[0].head, length])' -c <<<"$out")" = "[[7,$bad],[8,$bad]]" ]
  [[ $err == *"$((bad * 2)) of $((each * 6 + bad * 2)) boards failed"* ]]
  # what failed on the way has a thing, because its number is reserved; what passed has everything
  [ "$(results 'map(select(.result == "pass") | .uid) | unique | length')" = $((each * 6)) ]
  [ "$(results 'map(select(.result == "pass") | .serial) | unique | length')" = $((each * 6)) ]
  [ "$(ls labels/*.png | wc -l) $(ls labels/*.txt | wc -l)" = "$((each * 6)) $((each * 6))" ]
  # shellcheck disable=SC2046 # one word each
  iotctl station verify "$(records)" >/dev/null
  [ "$(iotctl station report --station line1 --query '[.passed, .failed] | join(" ")')" = "$((each * 6)) $((bad * 2))" ]
  [ "$(iotctl station report --station line1 --query '.faults | map(.count) | add')" = $((bad * 2)) ]
  [ "$(iotctl station export --station line1 -o csv | wc -l)" = $((each * 6 + bad * 2 + 1)) ]
}

@test "killed at any moment the same command goes on: one identity per board, and the record is whole" {
  local kills=0 wanted=8 each=10 head ports=() worker seed=${IOTCTL_SEED:-$RANDOM}
  [ -z "${IOTCTL_SOAK:-}" ] || wanted=200 each=250
  echo "seed $seed" >&2
  RANDOM=$seed
  start_fleet
  write_recipe recipe.json
  for head in 1 2 3 4; do
    ports+=(--port "./head$head")
    work_at "$head" "$each"
  done
  while [ "$kills" -lt "$wanted" ]; do
    iotctl -q station run recipe.json --station line1 "${ports[@]}" --range 0001..9999 --count $((each * 4)) -o jsonl \
      >>out 2>>err </dev/null 3>&- &
    worker=$!
    sleep "0.$((RANDOM % 900 + 100))"
    kill -9 "$worker" || break # it was faster
    wait "$worker" || true
    kills=$((kills + 1))
  done
  echo "$kills kills" >&2
  [ "$kills" -ge 3 ]
  tail -n 1 "$(records)" | grep -q '"kind":"close"' ||
    expect 0 station "${ports[@]}" --range 0001..9999 --count $((each * 4)) -o jsonl
  one_each $((each * 4))
  iotctl station verify "$(records)" >/dev/null
  [ "$(results 'map(select(.result == "fail")) | length')" = 0 ]
  # no private key stays, under whatever name; half of a file that is no secret may, beside the whole one
  [ -z "$(find "$fleet" "$XDG_STATE_HOME" -type f -newer recipe.json ! -name station.key -exec grep -l 'PRIVATE KEY' {} +)" ]
}
