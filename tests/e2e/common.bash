# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are for the tests that load this
# Shared by the end-to-end tests: a private home for each test, a free port, and an end to everything that was started.
# $IOTCTL_BIN is the folder of the built program.

common_setup() {
  work=$(mktemp -d "${BATS_TEST_TMPDIR}/work XXXXXX") # with a space: users have such folders
  export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state HOME=$work
  unset IOTCTL_FLEET IOTCTL_PROFILE IOTCTL_OUTPUT
  export PATH=$IOTCTL_BIN:$PATH NO_COLOR=1
  cd "$work" || return 1
  pids=()
}

common_teardown() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]}"; do
    wait "$pid" 2>/dev/null || true
  done
  iotctl serve --stop >/dev/null 2>&1 || true
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
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
device_says() { [ "$(iotctl device show "$1" --query "$2")" = "$3" ]; }

start_fleet() { # a fleet whose serve runs, on a free port
  port=$(free_port)
  iotctl init demo --port "$port" >/dev/null
  iotctl serve --detach
}

start_device() { # NAME [options of sim device]: in the background; its log is NAME.log
  local name=$1
  shift
  iotctl sim device "./$name" "$@" 2>>"$name.log" >>"$name.out" &
  pids+=($!)
  device_pid=$!
}

make_device() { # NAME
  iotctl device create "$1" --type pump --policy device --out "./$1" >/dev/null
}
