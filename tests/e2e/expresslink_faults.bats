#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and the tests share
# Provisioning an ExpressLink module when something goes wrong, as a user of the command sees it: on the wire, in the module,
# in the network, and with either side killed. Every fault at every step is in expresslink_table.bats. Each time the exit code, the one line on stderr, and that the same command afterwards ends with
# exactly one thing and one certificate. What takes long only because something is waited for runs side by side.

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

module() { # NAME [options]: a module at ./NAME, whose flash is NAME.state; in $module_pid
  iotctl -v sim expresslink --link "./$1" --broker-port "$port" "${@:2}" 2>>"$1.log" 3>&- &
  module_pid=$!
  pids+=("$module_pid")
  until_true 20 test -L "./$1"
}

end_module() { # [SIGNAL]: of the module that was started last; a killed one leaves its link
  kill "${1:--9}" "$module_pid"
  wait "$module_pid" 2>/dev/null || true
}

power_cut() { # NAME: of the module that was started last
  end_module
  rm -f "./$1"
}

provision() { # NAME [options]
  iotctl -q provision --port "./$1" --name "$1" --type pump --connect-timeout 3s -o json "${@:2}"
}

uid_of() { grep -o '[0-9a-f-]\{36\}: started' "$1.log" | head -1 | cut -d: -f1; }
is_registered() { iotctl device show "$1" >/dev/null 2>&1; }
say_why() { echo "$*" >&2; return 1; }
counts() { # N: so many things, so many certificates
  [ "$(iotctl device list --query length) $(iotctl cert list --query length)" = "$1 $1" ] ||
    say_why "not $1: $(iotctl device list -o json) $(iotctl cert list -o json)"
}

# failed NAME GOT CODE TEXT: that was its exit code, and it said one line, with that text and what to do.
failed() {
  [ "$2" = "$3" ] || say_why "$1: ended with $2, not $3: $(<"$1.err")" || return
  [ "$(wc -l <"$1.err")" = 1 ] || say_why "$1: not one line: $(<"$1.err")" || return
  [[ $(<"$1.err") == *"$4"* ]] || say_why "$1: not '$4': $(<"$1.err")" || return
  [[ $(<"$1.err") == *"; "* ]] || say_why "$1: does not say what to do: $(<"$1.err")"
}

succeeded() { # NAME GOT
  [ "$2" = 0 ] || say_why "$1: ended with $2: $(<"$1.err")" || return
  [ ! -s "$1.err" ] || say_why "$1: said $(<"$1.err")"
}

# one_identity NAME: one thing of this name, one certificate, which it connected with.
one_identity() {
  local record
  record=$(iotctl device show "$1" -o json) || return
  [ "$(jq -r '[.thingName, .connected, (.certificates | length)] | join(" ")' <<<"$record")" = "$(uid_of "$1") true 1" ] ||
    say_why "$1: $record"
}

# clean_run NAME: the same command with the same module, healthy.
clean_run() {
  local got=0
  module "$1"
  provision "$1" >"$1.out" 2>"$1.err" || got=$?
  succeeded "$1" "$got" || return
  one_identity "$1"
}

# row NAME CODE LEFT TEXT [options of the module]: provisioned with the fault, it ends so; LEFT: is it registered by then
# (yes or no)? Then again without. CODE any: what the dice want, but a failure says what to do, and the rest holds all the same.
row() {
  local name=$1 code=$2 left=$3 text=$4 got=0
  shift 4
  module "$name" "$@" || return
  timeout 60 iotctl -q provision --port "./$name" --name "$name" --type pump --connect-timeout 3s -o json \
    >"$name.out" 2>"$name.err" || got=$?
  [ "$code" != any ] || code=$got
  case $got in
    0) succeeded "$name" "$got" && [ "$code" = 0 ] || say_why "$name: succeeded" ;;
    8 | 10 | 11) failed "$name" "$got" "$code" "$text" ;;
    *) say_why "$name: ended with $got: $(<"$name.err")" ;;
  esac || return
  case $left in
    yes) is_registered "$name" || say_why "$name: is not registered" ;;
    no) ! is_registered "$name" || say_why "$name: is registered already" ;;
  esac || return
  power_cut "$name"
  clean_run "$name" || return
  [ "$code $(jq -r .changed "$name.out")" != "0 true" ] || say_why "$name: was not finished" || return
  end_module -TERM
}

# at_once COMMAND...: beside others, at most eight; all_good: each of them did well.
at_once() {
  ("$@") 2>"worker-${#workers[@]}.txt" 3>&- </dev/null &
  workers+=($!)
  [ $((${#workers[@]} % 8)) != 0 ] || wait "${workers[@]: -8}" || true
}

all_good() {
  local i bad=0
  for i in "${!workers[@]}"; do
    wait "${workers[$i]}" || { cat "worker-$i.txt" >&2; bad=1; }
  done
  [ "$bad" = 0 ]
}

# table: rows from stdin; each must do what it says, and nothing is there twice in the end.
table() {
  local name code left text options
  local -a words workers=()
  while IFS='|' read -r name code left text options; do
    eval "words=($options)"
    at_once row "${name// /}" "${code// /}" "${left// /}" "$(sed 's/^ *//; s/ *$//' <<<"$text")" "${words[@]}"
  done
  all_good && counts "${#workers[@]}"
}

@test "a fault of the wire" {
  start_fleet
  table <<'END'
plain      |0  |yes|                         |
noise      |0  |yes|                         |--fault noise
noisy      |0  |yes|                         |--fault noise=1
drops      |any|   |                         |--fault drop=0.0005
doubles    |any|   |                         |--fault double=0.0005
mixed      |any|   |                         |--fault drop=0.001 --fault double=0.001 --fault noise --seed 7
losing     |any|   |                         |--fault drop=0.01 --seed 2
silence    |0  |yes|                         |--fault 'silence-in-pem@CONF? Certificate#1'
literal    |0  |yes|                         |--fault literal-pem
both-pem   |0  |yes|                         |--fault literal-pem --pem-prompt
slow       |0  |yes|                         |--fault slow=150ms
backoff    |0  |yes|                         |--fault backoff=1s
speed      |10 |no |port './speed'           |--fault wrong-speed
END
}

@test "the module refuses at a step" {
  start_fleet
  table <<'END'
about      |10 |no |refuses AT+CONF? About              |--fault 'err=CONF? About:3'
version    |0  |yes|                                    |--fault 'err=CONF? Version:11'
nameless   |10 |no |the module has no thing name        |--fault 'err=CONF? ThingName:11'
garbled    |10 |no |malformed when it arrived (ERR2)    |--fault 'err=CONF? ThingName:2'
endpoint   |10 |yes|refused to take the endpoint        |--fault 'err=CONF Endpoint:4'
root       |10 |yes|refused to take the root CA: the module does not accept the certificate (ERR26)|--fault 'err=CONF RootCA:26'
signer     |11 |yes|refused to take the code-signing certificate: the signature does not match|--fault 'err=CONF HOTAcertificate:23'
refused    |11 |yes|the module cannot connect           |--fault 'err=CONNECT:14'
confmode   |10 |yes|refused to connect                  |--fault 'err=CONNECT:25'
END
}

@test "the module resets at a step" {
  start_fleet
  table <<'END'
r-cert     |0  |yes|                                    |--fault 'reset=CONF? Certificate'
r-root     |0  |yes|                                    |--fault 'reset=CONF RootCA'
r-connect  |10 |yes|no whole answer to 'AT+CONNECT'     |--fault 'reset=CONNECT'
END
}

# --- what is no module, or not ours ---------------------------------------------------------------------

other_device() { # KIND TEXT: see pty.c
  local got=0
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_pty" "./$1" "$1" 3>&- &
  module_pid=$!
  until_true 10 test -L "./$1" || return
  provision "$1" >"$1.out" 2>"$1.err" || got=$?
  end_module
  failed "$1" "$got" 10 "$2"
}

no_port() { # NAME TEXT
  local got=0
  provision "$1" >"$1.out" 2>"$1.err" || got=$?
  failed "$1" "$got" 10 "$2"
}

@test "what is no ExpressLink module is told from one, and nothing is registered" {
  start_fleet
  : >file
  mkdir folder
  ln -s /dev/null null
  workers=()
  at_once other_device echo "answers 'AT', which is no ExpressLink module"
  at_once other_device modem 'answers AT, but is no ExpressLink module'
  at_once other_device silent "nothing answers on port './silent'"
  at_once other_device chatter "port './chatter' answers 'boot: hello', which is no ExpressLink module"
  at_once no_port nothing "cannot open port './nothing'"
  at_once no_port file "'./file' is not a serial port"
  at_once no_port folder "'./folder' is not a serial port"
  at_once no_port null "'./null' is not a serial port"
  all_good
  counts 0
}

@test "a port that is in use is left alone" {
  start_fleet
  module board0
  (exec 9<>board0; flock -n 9 || exit; : >locked; exec sleep 60) 3>&- &
  pids+=($!)
  until_true 5 test -e locked
  fault 10 "port './board0' is in use" provision board0
  counts 0
  kill "${pids[-1]}"
  wait "${pids[-1]}" || true

  # two at the same time: at least one gets it, and both together make one identity
  provision board0 >one.out 2>one.err 3>&- &
  local first=$! one=0 two=0
  provision board0 >two.out 2>two.err || two=$?
  wait "$first" || one=$?
  [ "$one" = 0 ] || [ "$two" = 0 ]
  [ "$one" = 0 ] || failed one "$one" 10 "in use"
  [ "$two" = 0 ] || failed two "$two" 10 "in use"
  one_identity board0
  counts 1
}

@test "a module of another fleet is left alone unless it shall be replaced" {
  start_fleet
  module board0
  provision board0 >/dev/null
  end_module -TERM
  local theirs=$port ours
  ours=$(free_port)
  iotctl init ours --endpoint 127.0.0.1 --port "$ours" --keep-default >/dev/null
  iotctl --fleet ours serve --detach
  port=$ours
  module board0

  fault 4 "belongs to another fleet: its endpoint is 'localhost'" provision board0 --fleet ours
  [[ $err == *--replace* ]]
  [ "$(iotctl --fleet ours device list --query length)" = 0 ]
  end_module -TERM
  port=$theirs
  module board0
  [ "$(provision board0 | jq -r .changed)" = false ]
  end_module -TERM

  # its signer does not let another one in: that is forgotten by a factory reset
  port=$ours
  module board0
  expect 0 provision board0 --fleet ours --replace
  [ "$(jq -r .changed <<<"$out")" = true ]
  grep -q 'command FACTORY_RESET' board0.log
  [ "$(provision board0 --fleet ours | jq -r .changed)" = false ]
  [ "$(iotctl --fleet ours device list --query length) $(iotctl --fleet ours cert list --query length)" = "1 1" ]
  iotctl --fleet ours serve --stop >/dev/null
}

@test "a module that a fleet of the same endpoint has set up takes no other signer" {
  start_fleet
  module board0
  provision board0 >/dev/null
  end_module -TERM
  iotctl serve --stop >/dev/null
  port=$(free_port)
  iotctl init ours --port "$port" --keep-default >/dev/null
  iotctl --fleet ours serve --detach
  module board0
  fault 11 '(ERR23)' provision board0 --fleet ours
  [[ $err == *--replace* ]]
  expect 0 provision board0 --fleet ours --replace
  [ "$(iotctl --fleet ours device list --query length) $(iotctl --fleet ours cert list --query length)" = "1 1" ]
  iotctl --fleet ours serve --stop >/dev/null
}

# --- the network -------------------------------------------------------------------------------------------

@test "an endpoint that does not resolve, nobody there, and somebody else there" {
  port=$(free_port)
  iotctl init far --endpoint no-such-host.invalid --port "$port" --keep-default >/dev/null
  module far
  fault 11 '(ERR14 3' provision far --fleet far
  end_module -TERM

  # nobody answers; and as soon as somebody does, the same command goes on
  start_fleet
  iotctl serve --stop >/dev/null
  module board0
  fault 11 '(ERR14 3' provision board0
  iotctl serve --detach
  expect 0 provision board0
  one_identity board0
  end_module -TERM

  # a broker that the root CA of this fleet does not vouch for
  local home=$port
  port=$(free_port)
  iotctl init other --port "$port" --keep-default >/dev/null
  iotctl --fleet other serve --detach
  module board1
  fault 11 '(ERR14 4' provision board1
  iotctl --fleet other serve --stop >/dev/null
  end_module -TERM
  port=$home
  clean_run board1
  counts 2
}

# --- killed --------------------------------------------------------------------------------------------------

# Both take some 50 commands of 10 ms each; the moment comes from the seed.
moment() { # SEED
  RANDOM=$1
  printf '0.%03d' $((RANDOM % 800))
}

module_unplugged() { # SEED
  local name=unplugged-$1 got=0 worker
  module "$name" --exec-time 10ms || return
  provision "$name" >"$name.out" 2>"$name.err" &
  worker=$!
  sleep "$(moment "$1")"
  power_cut "$name"
  wait "$worker" || got=$?
  [ "$got" = 0 ] || failed "$name" "$got" 10 "$name" || return
  clean_run "$name" || return
  end_module -TERM
}

provision_killed() { # SEED
  local name=killed-$1 worker got=0
  module "$name" --exec-time 10ms || return
  iotctl -q provision --port "./$name" --name "$name" --type pump --connect-timeout 3s >/dev/null 2>&1 &
  worker=$!
  sleep "$(moment "$1")"
  kill -9 "$worker" 2>/dev/null || true
  wait "$worker" 2>/dev/null || true
  provision "$name" >"$name.out" 2>"$name.err" || got=$?
  succeeded "$name" "$got" && one_identity "$name" || return
  [ "$(provision "$name" | jq -r .changed)" = false ] || say_why "$name: changed again" || return
  end_module -TERM
}

@test "unplugged in the middle: the same command goes on" {
  start_fleet
  workers=()
  for seed in {1..5}; do
    at_once module_unplugged "$seed"
  done
  all_good
  counts 5
}

@test "killed in the middle: the same command goes on" {
  start_fleet
  workers=()
  for seed in {11..15}; do
    at_once provision_killed "$seed"
  done
  all_good
  counts 5
}

# --- the host -------------------------------------------------------------------------------------------------

@test "a host whose topics no policy allows backs off and says why" {
  start_fleet
  module board0
  provision board0 >/dev/null
  iotctl sim firmware --version 1.0.0 --out host.bin >/dev/null
  iotctl sim host --port ./board0 --image host.bin --topic 'of-others/{name}' --interval 100ms --exit-after 4s 2>host.log
  grep -q 'connection lost after .* next attempt in 0.2 s; does a policy allow its topics' host.log
  [ "$(grep -c 'connection lost' host.log)" -le 6 ]
}
