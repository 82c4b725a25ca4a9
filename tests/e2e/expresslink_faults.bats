#!/usr/bin/env bats
# Provisioning an ExpressLink module when something goes wrong: at every step, on the wire, in the module, in the network, and
# with either side killed. Each time the exit code, the one line on stderr, and that the same command afterwards ends with
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

# table: rows from stdin, six at a time; each must do what it says, and nothing is there twice in the end.
table() {
  local name code left text options rows=0 bad=0
  local -a words workers=()
  while IFS='|' read -r name code left text options; do
    eval "words=($options)"
    (row "$(echo $name)" "$(echo $code)" "$(echo $left)" "$(sed 's/^ *//; s/ *$//' <<<"$text")" "${words[@]}") \
      2>"row-$rows.txt" 3>&- </dev/null &
    workers+=($!)
    rows=$((rows + 1))
    [ $((rows % 6)) != 0 ] || wait "${workers[@]: -6}" || true
  done
  for code in "${!workers[@]}"; do
    wait "${workers[$code]}" || { cat "row-$code.txt" >&2; bad=1; }
  done
  [ "$bad" = 0 ] && counts "$rows"
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
silence    |0  |yes|                         |--fault silence-in-pem
literal    |0  |yes|                         |--fault literal-pem
both-pem   |0  |yes|                         |--fault silence-in-pem --fault literal-pem --pem-prompt
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
busy       |10 |no |refused to read ThingName           |--fault 'err=CONF? ThingName:25'
nameless   |10 |no |refused to read ThingName           |--fault 'err=CONF? ThingName:11'
garbled    |10 |no |malformed when it arrived (ERR2)    |--fault 'err=CONF? ThingName:2'
no-cert    |10 |no |refused to read Certificate         |--fault 'err=CONF? Certificate:25'
status     |10 |no |say whether it is connected         |--fault 'err=CONNECT?:4'
endpoint   |10 |yes|refused to take the endpoint        |--fault 'err=CONF Endpoint:4'
root       |10 |yes|refused to take the root CA: the module does not accept the certificate (ERR26)|--fault 'err=CONF RootCA:26'
signer     |11 |yes|refused to take the code-signing certificate: the signature does not match|--fault 'err=CONF HOTAcertificate:23'
signer-26  |10 |yes|(ERR26)                             |--fault 'err=CONF HOTAcertificate:26'
custom     |10 |yes|refused to take the custom name     |--fault 'err=CONF CustomName:4'
refused    |11 |yes|the module cannot connect           |--fault 'err=CONNECT:14'
confmode   |10 |yes|refused to connect                  |--fault 'err=CONNECT:25'
END
}

@test "the module resets at a step" {
  start_fleet
  table <<'END'
r-about    |0  |yes|                                    |--fault 'reset=CONF? About'
r-version  |0  |yes|                                    |--fault 'reset=CONF? Version'
r-name     |0  |yes|                                    |--fault 'reset=CONF? ThingName'
r-cert     |0  |yes|                                    |--fault 'reset=CONF? Certificate'
r-endpoint |0  |yes|                                    |--fault 'reset=CONF Endpoint'
r-root     |0  |yes|                                    |--fault 'reset=CONF RootCA'
r-signer   |0  |yes|                                    |--fault 'reset=CONF HOTAcertificate'
r-custom   |0  |yes|                                    |--fault 'reset=CONF CustomName'
r-connect  |10 |yes|no whole answer to 'AT+CONNECT'     |--fault 'reset=CONNECT'
END
}
