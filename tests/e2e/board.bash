# shellcheck shell=bash disable=SC2154 # what common.bash and the tests share
# Software boards for tests, each on a serial line of its own that is a pseudo-terminal.

on_line() { # NAME COMMAND...: a board of this command at ./NAME, with its flash in NAME.state; what it says is in NAME.log
  local name=$1
  rm -f "./$name"
  iotctl -v "${@:2}" --link "./$name" 2>>"$name.log" 3>&- &
  board_pid=$!
  pids+=("$board_pid")
  until_true 20 test -e "./$name"
}

start_board() { # NAME [options]: one of $board_kind
  on_line "$1" sim board --kind "$board_kind" "${@:2}"
}

start_module() { # NAME [options]: an ExpressLink module; its broker is that of aws.bash or the fleet's
  on_line "$1" sim expresslink --broker-port "${broker:-$port}" "${@:2}"
}

stop_board() { # [SIGNAL]: of the one that was started last; as a power cut, its link stays
  kill "${1:--9}" "$board_pid"
  wait "$board_pid" 2>/dev/null || true
}
