# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are for the tests that load this
# Shared by the end-to-end tests: a private home for each test, a free port, and an end to everything that was started.
# $IOTCTL_BIN is the folder of the built program.

common_setup() {
  work=$(mktemp -d "${BATS_TEST_TMPDIR:-${TMPDIR:-/tmp}}/work XXXXXX") # with a space: users have such folders
  export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state HOME=$work
  unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
  export PATH=$IOTCTL_BIN:$PATH NO_COLOR=1
  fleet=$XDG_DATA_HOME/iotctl/demo
  cd "$work" || return 1
  pids=()
}

common_teardown() {
  local pid
  for pid in "${pids[@]}"; do
    kill -CONT "$pid" 2>/dev/null || true # not after the other: the leak checker stops its own process
    kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]}"; do
    until_true 10 gone "$pid" 2>/dev/null || { echo "does not end: $(tr '\0' ' ' <"/proc/$pid/cmdline")" >&2; kill -9 "$pid"; }
    wait "$pid" 2>/dev/null || true
  done
  stop_fleets
  return_ports
  no_sanitizer_report || return
  [ -n "${BATS_TEST_TMPDIR:-}" ] || rm -rf "$work" # an old bats does not do it
}

# Every serve of this test, and a mosquitto that outlived its serve (which another test may be there to find).
stop_fleets() {
  local dir pid
  for dir in "$XDG_DATA_HOME"/iotctl/*/; do
    [ -d "$dir" ] || continue
    iotctl --fleet "$dir" serve --stop >/dev/null 2>&1 || true
    pid=$(jq -r '.mosquittoPid // empty' "$dir/broker/serve.json" 2>/dev/null) || true
    if [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F -x -e "${dir%/}/broker/mosquitto.conf"; then
      kill -9 "$pid"
    fi
  done
}

# What ran in the background tells here what the sanitizers found in it.
no_sanitizer_report() {
  if grep -l -e 'Sanitizer: ' -e 'runtime error: ' "$work"/*.log "$work"/*.err "$fleet"/broker/*.log 2>/dev/null; then
    grep -h -A 20 -e 'Sanitizer: ' -e 'runtime error: ' "$work"/*.log "$work"/*.err "$fleet"/broker/*.log 2>/dev/null >&2
    return 1
  fi
  return 0
}

# A port that nobody listens on, and that no other test was given: what will listen there takes its time to start.
free_port() {
  local port tries
  for tries in {1..1000}; do
    port=$((20000 + RANDOM % 12000)) # below what the system gives to clients
    take_port "$port" || continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port after $tries tries: can '$given_ports' be written?" >&2
  return 1
}

# Given ports are files that hold the process they were given to.
given_ports=${TMPDIR:-/tmp}/iotctl-ports-$UID
take_port() {
  (mkdir -p "$given_ports" && set -o noclobber && echo $$ >"$given_ports/$1") 2>/dev/null
}

# Those of this process, and of those that were killed.
return_ports() {
  local file owner
  for file in "$given_ports"/*; do
    owner=$(cat "$file" 2>/dev/null) || continue
    [ -z "$owner" ] || { [ "$owner" != $$ ] && kill -0 "$owner" 2>/dev/null; } || rm -f "$file"
  done
  rmdir "$given_ports" 2>/dev/null || true
}

# until_true SECONDS COMMAND...: wait for a state of the world, fail when it does not come.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "never true: $*" >&2; return 1; }
    sleep 0.05
  done
}

is() { [ "$1" = "$2" ]; }
not() { if "$@"; then return 1; fi; } # bats does not see what ! makes of an exit code
differs() { [ "$1" != "$2" ]; }
device_says() { [ "$(iotctl device show "$1" --query "$2")" = "$3" ]; }
gone() { # PROCESS: has it ended? Where nobody reaps what lost its parent it stays as a zombie.
  local state
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || true
  [ -z "$state" ] || [ "$state" = Z ]
}
logged() { grep -q -e "$2" "$1"; }     # FILE PATTERN

# expect CODE COMMAND...: it ends with that exit code. Its stdout is then in $out, its stderr in $err.
expect() {
  local want=$1 got=0
  shift
  "$@" >"$work/expect.out" 2>"$work/expect.err" </dev/null || got=$?
  out=$(<"$work/expect.out")
  err=$(<"$work/expect.err")
  [ "$got" -eq "$want" ] || { printf "'%s' ended with %s, not %s:\n%s\n%s\n" "$*" "$got" "$want" "$out" "$err" >&2; return 1; }
}

# combined CODE|fail COMMAND...: as expect, with both streams in $output.
combined() {
  local want=$1 got=0 as_wanted=no
  shift
  output=$("$@" 2>&1) || got=$?
  case $want in
    fail) [ "$got" -eq 0 ] || as_wanted=yes ;;
    *) [ "$got" -ne "$want" ] || as_wanted=yes ;;
  esac
  [ "$as_wanted" = yes ] || { printf "'%s' ended with %s, not %s:\n%s\n" "$*" "$got" "$want" "$output" >&2; return 1; }
}

# fault CODE TEXT COMMAND...: it fails with that code and says one line on stderr, which contains the text.
fault() {
  local code=$1 text=$2
  shift 2
  expect "$code" "$@" || return
  if [ "$(wc -l <"$work/expect.err")" -ne 1 ] || [[ $err != *"$text"* ]]; then
    printf "'%s' said on stderr:\n%s\nand not one line with: %s\n" "$*" "$err" "$text" >&2
    return 1
  fi
}

start_fleet() { # a fleet whose serve runs, on a free port
  port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach
}

serve_pid() { iotctl serve --status --query .pid; }
mosquitto_pid() { iotctl serve --status --query .mosquittoPid; }
serve_is_up() { [[ $(mosquitto_pid 2>/dev/null) =~ ^[0-9]+$ ]] && grep -q "mosquitto is process $(mosquitto_pid)" "$fleet/broker/serve.log"; }

start_device() { # NAME [options of sim device]: in the background; its log is NAME.log
  local name=$1
  shift
  iotctl sim device "./$name" "$@" 2>>"$name.log" >>"$name.out" 3>&- &
  device_pid=$!
  pids+=("$device_pid")
}

kill_device() { # [SIGNAL]: end the device that was started last
  kill "${1:--9}" "$device_pid"
  wait "$device_pid" 2>/dev/null || true
}

make_device() { # NAME
  iotctl device create "$1" --type pump --policy device --out "./$1" >/dev/null
}

firmware() { # VERSION FILE [options]
  local version=$1 file=$2
  shift 2
  iotctl sim firmware --version "$version" --out "$file" "$@" >/dev/null
}

# as NAME PROGRAM [options]: mosquitto_pub, mosquitto_sub or mosquitto_rr with the certificate and the client id of a device.
as() { command_as "$@" && "${command[@]}"; }

# The same for the background, whose process is then the program's: in $command.
command_as() {
  local name=$1 program=$2
  shift 2
  command=(stdbuf -oL "$program" -h localhost -p "$port" --cafile "$name/ca.pem" --cert "$name/certificate.pem"
    --key "$name/private.key" -i "$name" -V 311 "$@")
}

# listen FILE FILTER...: what passes the broker on these topics, as the fleet's own user hears it, one JSON object per line:
# {"at": seconds, "topic": ..., "payload": ...}.
listen() {
  local file=$1 filter filters=()
  shift
  for filter in "$@"; do
    filters+=(-t "$filter")
  done
  stdbuf -oL mosquitto_sub --unix "$(sed -n 's/^listener 0 //p' "$fleet/broker/mosquitto.conf")" -i "listener-$file" -V 5 -d \
    "${filters[@]}" -F '{"at": %U, "topic": "%t", "payload": %p}' >"$file" 2>&1 </dev/null 3>&- &
  pids+=($!)
  until_true 5 grep -q 'received SUBACK' "$file"
}

# heard FILE EXPRESSION: is there a line for which this jq expression is true?
heard() { jq -Rne "[inputs | fromjson?] | any(.[]; $2)" <"$1" >/dev/null; }
count_heard() { jq -Rne '[inputs | fromjson?] | length' <"$1"; } # FILE

# talk NAME [CLIENT-ID]: a client with the certificate of device NAME, for `say`; what it hears is in NAME.talk. See talk.c.
talk() {
  local name=$1
  shift
  rm -f "$name.pipe"
  mkfifo "$name.pipe"
  : >"$name.talk"
  "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/e2e_talk" "./$name" "$@" <"$name.pipe" >>"$name.talk" 2>"$name.talk.err" 3>&- &
  pids+=($!)
  exec {talk_fd}>"$name.pipe"
}

say() { printf '%s\n' "$*" >&"$talk_fd"; }
hears() { until_true 10 grep -q -e "$2" "$1.talk"; } # NAME PATTERN

make_root() { # NAME: NAME.key and NAME.pem, of a CA
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -addext keyUsage=critical,keyCertSign -out "$1.pem" 2>/dev/null
}

sign_server() { # FOLDER CA: FOLDER/server.pem anew, issued by this CA
  openssl req -new -key "$1/server.key" -subj /CN=localhost -out server.csr 2>/dev/null
  openssl x509 -req -in server.csr -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 100 \
    -extfile <(echo subjectAltName=DNS:localhost) -out "$1/server.pem" 2>/dev/null
}

# A second fleet with the same devices, whose broker shows a certificate of another root: "second" on $port2.
start_second() {
  second=$XDG_DATA_HOME/iotctl/second
  port2=$(free_port)
  make_root root2
  iotctl backup ./copy -q >/dev/null
  iotctl restore ./copy second -q >/dev/null
  sqlite3 "$second/registry.db" "UPDATE meta SET value = '$port2' WHERE key = 'port'"
  sign_server "$second/ca" root2
  cp root2.pem "$second/ca/root.pem"
  iotctl --fleet second serve --detach
}

# Everything a failed command might have changed: names, modes and contents of files, and the registry's rows.
fleet_state() {
  find "$fleet" -not -name '*.db-*' -not -name '*.log*' -not -name serve.lock -not -type s -printf '%P %M\n' | sort
  find "$fleet" -type f -not -name 'registry.db*' -not -name '*.log*' -not -name serve.lock -exec sha256sum {} + | sort
  sqlite3 "file:$fleet/registry.db?mode=ro" .dump
}
