# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables are shared with the tests and common.bash
# What the tests of the gateway share. Load after common.bash.

lib=$(cd "${BASH_SOURCE[0]%/*}/../lib" && pwd)

start_wire() { # TO-PORT: a wire to it that can be cut, on $wire_port
  wire_port=$(free_port)
  python3 "$lib/cut.py" "$wire_port" "$1" >wire.log 2>&1 3>&- &
  wire=$!
  pids+=("$wire")
  until_true 10 logged wire.log mended
}
cut_wire() {
  kill -USR1 "$wire"
  until_true 5 wire_says cut
}
mend_wire() {
  kill -USR2 "$wire"
  until_true 5 wire_says mended
}
wire_says() { [ "$(tail -n 1 wire.log)" = "$1" ]; }

start_picture() { # a fleet, a gateway of it, and the wire between them
  start_fleet
  iotctl gateway create gw-1 --out ./gw-1 >/dev/null
  start_wire "$port"
}

make_child() { # NAME [options of gateway add]
  local name=$1
  shift
  iotctl device create "$name" --type sensor >/dev/null
  iotctl psk create "$name" --out "$name.psk" >/dev/null
  iotctl psk create "$name" --attestation --out "$name.iak" >/dev/null
  iotctl gateway add gw-1 "$name" "$@" >/dev/null
}

# From here on the gateway is in another home, where there is nothing but an export of it.
move_gateway() {
  iotctl gateway export gw-1 --identity ./gw-1 --out ./export >/dev/null
  mkdir elsewhere
  cp -r export elsewhere/gw
  gateway_dir=$work/elsewhere/gw
  elsewhere=(env -u IOTCTL_FLEET "HOME=$work/elsewhere" "XDG_CONFIG_HOME=$work/elsewhere/config" "XDG_DATA_HOME=$work/elsewhere/data"
    "XDG_STATE_HOME=$work/elsewhere/state")
}
refresh_export() { # as a person would: made there, copied here, renamed
  iotctl gateway export gw-1 --out ./export >/dev/null
  cp export/children.db elsewhere/gw/children.db.new
  mv elsewhere/gw/children.db.new elsewhere/gw/children.db
}

start_gateway() { # [options of gateway run]
  psk_port=${psk_port:-$(free_port)}
  "${elsewhere[@]}" iotctl gateway run "${gateway_dir:-./gw-1}" --port "$psk_port" --endpoint localhost --endpoint-port "$wire_port" -o jsonl "$@" \
    >>gateway.out 2>>gateway.err 3>&- &
  gateway=$!
  pids+=("$gateway")
  until_true 10 happened '.event == "listening"'
}
happened() { jq -Rne "[inputs | fromjson?] | any(.[]; $1)" <gateway.out >/dev/null; } # EXPRESSION
times() { jq -Rn "[inputs | fromjson? | select($1)] | length" <gateway.out; }           # EXPRESSION

small_device() { # NAME [options of sim psk-device]: in the foreground
  local name=$1
  shift
  iotctl sim psk-device --port "$psk_port" -k "$name.psk" --attestation-key "$name.iak" --exit-after 60s "$@"
}
start_small_device() { # NAME [options]: in the background; what it says is in NAME.out
  local name=$1
  shift
  iotctl sim psk-device --port "$psk_port" -k "$name.psk" --attestation-key "$name.iak" --exit-after 120s -o jsonl "$@" \
    >>"$name.out" 2>>"$name.err" 3>&- &
  device_pid=$!
  pids+=("$device_pid")
}
device_heard() { jq -Rne "[inputs | fromjson?] | any(.[]; $2)" <"$1.out" >/dev/null; } # NAME EXPRESSION

# The numbers of the measurements that the cloud has of a device, in the order in which it got them.
numbers() { jq -Rrn --arg t "sensor/$1/event" '[inputs | fromjson? | select(.topic == $t) | .payload.n] | join(" ")' <heard; } # NAME
all_of() { [ "$(numbers "$1")" = "$(seq -s ' ' "$2")" ]; }           # NAME COUNT
# The same over a connection that ended once: what was under way then was sent a second time, from there on in order.
all_of_over_cut() { # NAME COUNT
  [ "$(numbers "$1" | tr ' ' '\n' | awk '$1 != last + 1 && ($1 > last || cuts++) { bad = 1 } { last = $1 } END { if (!bad) print last }')" = "$2" ]
}
at_least_of() { [ "$(numbers "$1" | wc -w)" -ge "$2" ]; }              # NAME COUNT
waiting() { sqlite3 "file:${gateway_dir:-gw-1}/queue/queue.db?mode=ro" 'SELECT count(*) FROM queue'; }
nothing_waits() { [ "$(waiting)" = 0 ]; }
at_least_waiting() { [ "$(waiting)" -ge "$1" ]; }
