#!/usr/bin/env bats
# Operators: from a second home that holds nothing but a profile; what it may, what it may not, and how it ends.

bats_require_minimum_version 1.5.0

setup() {
  load common
  common_setup
}

teardown() {
  common_teardown
}

# away COMMAND...: in the other home, which knows nothing of the fleet.
away() { env HOME="$work/away" XDG_CONFIG_HOME="$work/away/config" XDG_DATA_HOME="$work/away/data" XDG_STATE_HOME="$work/away/state" "$@"; }

operator() { # NAME OPTION...
  iotctl -q operator create "$@" >/dev/null
}

listener() { # NAME ARGUMENT...: subscribe from the other home, in the background, until it listens
  local name=$1
  shift
  away iotctl subscribe "$@" -o jsonl >"$name.out" 2>"$name.err" 3>&- &
  listener_pid=$!
  pids+=("$listener_pid")
  until_true 20 grep -q 'and subscribed' "$name.err"
}

ends_with() { # PID CODE: that background process ends by itself with this exit code
  local got=0
  until_true 5 gone "$1"
  wait "$1" || got=$?
  [ "$got" -eq "$2" ] || { echo "ended with $got, not $2" >&2; return 1; }
}

@test "a profile alone is enough to publish and subscribe from elsewhere" {
  start_fleet
  make_device pump-0001
  operator bench --role deploy
  [ "$(stat -c %a bench.profile)" = 600 ]
  mkdir away

  listener bench 'pump/+/command' -n 1 --timeout 30s --profile ./bench.profile
  grep -q "connected as operator 'bench' ('operator-bench-[0-9a-f]*') at 'localhost:$port'" bench.err
  combined 0 away iotctl --profile ./bench.profile publish pump/pump-0001/command -m '{"id": 1}'
  [[ $output == *"connected as operator 'bench'"* ]]
  ends_with "$listener_pid" 0
  [ "$(jq -r .topic bench.out)" = pump/pump-0001/command ]

  # by the variable, and by name once it is imported
  IOTCTL_PROFILE=$work/bench.profile away iotctl -q publish pump/x -m y >/dev/null
  combined 0 away iotctl settings import bench.profile
  [ "$(stat -c %a away/config/iotctl/profiles/bench.conf)" = 600 ]
  rm bench.profile
  away iotctl -q --profile bench publish pump/x -m y >/dev/null
  # what other programs are told does not change where a profile leads
  AWS_REGION=eu-west-1 AWS_ENDPOINT_URL=http://127.0.0.1:1 away iotctl -q --profile bench publish pump/x -m y >/dev/null
  [ ! -e away/data/iotctl ]
}

@test "what its policy does not allow is denied, with one line and exit code 5" {
  start_fleet
  make_device pump-0001
  cat >ci.json <<-'END'
	{"Version": "2012-10-17", "Statement": [
	  {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:local:000000000000:client/operator-ci-*"},
	  {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:local:000000000000:topic/pump/*/command"},
	  {"Effect": "Allow", "Action": ["iot:Subscribe", "iot:Receive"],
	   "Resource": ["arn:aws:iot:local:000000000000:topicfilter/pump/+/event", "arn:aws:iot:local:000000000000:topic/pump/*/event"]}]}
	END
  operator ci --policy ci.json
  operator watcher --role observe
  operator deployer --role deploy
  mkdir away
  away iotctl -q --profile ./ci.profile publish pump/pump-0001/command -m x >/dev/null
  away iotctl -q --profile ./ci.profile subscribe pump/+/event --timeout 100ms >/dev/null
  fault 5 "'#'" away iotctl -q --profile ./ci.profile subscribe '#'
  combined 5 away iotctl -q --profile ./ci.profile publish pump/pump-0001/config -m x
  [[ $output == *"'pump/pump-0001/config': the broker does not allow it"* ]]
  combined 5 away iotctl -q --profile ./ci.profile publish pump/pump-0001/command -m x --retain

  # observe listens and says nothing; deploy never speaks for a device
  away iotctl -q --profile ./watcher.profile subscribe '#' '$aws/things/+/shadow/#' --timeout 100ms >/dev/null
  combined 5 away iotctl -q --profile ./watcher.profile publish pump/pump-0001/command -m x
  away iotctl -q --profile ./deployer.profile publish pump/pump-0001/command -m x >/dev/null
  combined 5 away iotctl -q --profile ./deployer.profile publish '$aws/things/pump-0001/shadow/update' -m '{}'
  # a change of the policy holds at once, for API and broker alike: it is an ordinary one
  iotctl policy show operator.ci >/dev/null
}

@test "an operator never takes a device's connection" {
  start_fleet
  make_device pump-0001
  operator boss --role admin
  mkdir op
  section() { sed -n "s/^$1 = //p" boss.profile | base64 -d; }
  (umask 077 && section client-key-data >op/private.key)
  section client-certificate-data >op/certificate.pem
  section ca-data >op/ca.pem
  combined fail as op mosquitto_pub -i pump-0001 -t a -m x
  combined 0 as op mosquitto_pub -i operator-boss-mine -t a -m x
  openssl x509 -in op/certificate.pem -noout -subject | grep -q 'OU = operator, CN = boss'
}

@test "a revoked operator is cut off within a second, and stays out until it gets new keys" {
  start_fleet
  operator bench --role admin
  mkdir away
  cp -p bench.profile away/
  listener bench '#' --profile ./bench.profile
  started=$(date +%s%N)
  [ "$(iotctl operator revoke bench --query .changed)" = true ]
  until_true 5 gone "$listener_pid"
  [ $(($(date +%s%N) - started)) -lt 2000000000 ] # the call itself is in it
  ends_with "$listener_pid" 5
  fault 5 'does not allow' away iotctl -q --profile ./bench.profile publish a -m x
  [ "$(iotctl operator revoke bench --query .changed)" = false ]
  [ "$(iotctl operator show bench --query .state)" = revoked ]
  fault 4 'was revoked' iotctl operator create bench --role admin

  iotctl -q operator rotate bench >/dev/null
  away iotctl -q --profile ./bench.profile publish a -m x >/dev/null
  fault 5 'does not allow' away iotctl -q --profile away/bench.profile publish a -m x
  [ "$(iotctl operator show bench --query .state)" = active ]
}

@test "new keys end the old ones on live connections, and keep the rights" {
  start_fleet
  operator bench --role observe
  mkdir away
  listener bench '#' --profile ./bench.profile
  iotctl -q operator rotate bench >/dev/null
  ends_with "$listener_pid" 5
  away iotctl -q --profile ./bench.profile subscribe '#' --timeout 100ms >/dev/null
  combined 5 away iotctl -q --profile ./bench.profile publish a -m x
}

@test "expired keys are refused, and a connection ends with them" {
  start_fleet
  operator bench --role observe --expires 4s
  mkdir away
  listener bench '#' --profile ./bench.profile
  until_true 10 gone "$listener_pid"
  ends_with "$listener_pid" 5
  [ "$(iotctl operator show bench --query .state)" = expired ]
  fault 5 "the keys of operator 'bench' expired at" away iotctl -q --profile ./bench.profile subscribe '#' --timeout 1s
}

@test "secrets are in the profile alone: not in the registry, a backup, argv, a log, or what is shown" {
  start_fleet
  iotctl operator create bench --role admin >create.out 2>create.err
  secret=$(sed -n 's/^secret-access-key = //p' bench.profile)
  key=$(sed -n 's/^client-key-data = //p' bench.profile)
  [ ${#secret} -eq 40 ]
  mkdir away
  listener bench '#' --profile ./bench.profile
  tr '\0' '\n' <"/proc/$listener_pid/cmdline" >cmdline
  away iotctl --profile ./bench.profile settings show --origin -o json >shown.json
  away iotctl --profile ./bench.profile settings show >shown
  iotctl operator list -o json >list.json
  iotctl operator show bench -o json >one.json
  iotctl backup copy >/dev/null
  iotctl serve --stop
  until_true 5 gone "$listener_pid" # its broker is gone
  for hidden in "$secret" "$key"; do
    not grep -rlF -e "$hidden" "$fleet" copy cmdline shown.json shown list.json one.json create.out create.err bench.err
  done
  [ "$(jq -r '.[] | select(.setting == "secret-access-key").value' shown.json)" = '(set)' ]
  # what opens it is not in the backup either
  [ -s "$fleet/sealing.key" ]
  not grep -rlF -e "$(cat "$fleet/sealing.key")" copy

  # so a restored fleet says that its operators need new keys; their certificates are good
  mv "$fleet" lost
  expect 0 iotctl restore copy demo
  [[ $err == *'1 operator needs new keys'*'operator rotate'* ]]
  [ "$(iotctl operator show bench --query .state)" = 'no key' ]
  iotctl serve --detach
  away iotctl -q --profile ./bench.profile publish a -m x >/dev/null
  iotctl -q operator rotate bench >/dev/null
  [ "$(iotctl operator show bench --query .state)" = active ]
}

@test "a profile that others can read, or that is none, is refused with what to do" {
  iotctl init demo >/dev/null
  operator bench
  chmod 640 bench.profile
  fault 12 'chmod 600 ./bench.profile' iotctl --profile ./bench.profile publish a -m x
  fault 12 'chmod 600' iotctl settings import bench.profile
  chmod 600 bench.profile
  fault 12 "there is no profile file './none'" iotctl --profile ./none settings show
  sed '/^client-key-data/d' bench.profile >half.profile && chmod 600 half.profile
  fault 12 "no 'client-key-data'" iotctl --profile ./half.profile publish a -m x
  sed 's/^client-key-data = .*/client-key-data = ???/' bench.profile >odd.profile && chmod 600 odd.profile
  fault 12 'not base64' iotctl --profile ./odd.profile publish a -m x
  sed 's/^broker = .*/broker = nowhere/' bench.profile >odd.profile
  fault 12 'no HOST:PORT' iotctl --profile ./odd.profile publish a -m x
  printf '[default]\nfleet = demo\n' >odd.profile
  fault 12 'is no profile' iotctl --profile ./odd.profile publish a -m x
  printf '[profile x]\ncolour = blue\n' >odd.profile
  fault 12 'colour' iotctl --profile ./odd.profile publish a -m x
}

@test "create can be killed anywhere and is finished by the same call" {
  iotctl init demo >/dev/null
  # the file is there, the registry does not know it: as after a kill between the two
  operator bench --role deploy
  id=$(sed -n 's/^access-key-id = //p' bench.profile)
  sqlite3 "$fleet/registry.db" "PRAGMA foreign_keys = ON; DELETE FROM operators; DELETE FROM policy_attachments WHERE policy_id IN
    (SELECT id FROM policies WHERE name = 'operator.bench'); DELETE FROM policies WHERE name = 'operator.bench';
    DELETE FROM certificates WHERE id IN (SELECT id FROM certificates ORDER BY created_at DESC LIMIT 1);"
  before=$(sha256sum bench.profile)
  [ "$(iotctl -q operator create bench --role deploy --query .changed)" = true ]
  [ "$(iotctl operator show bench --query .accessKeyId)" = "$id" ]
  [ "$(iotctl -q operator create bench --role deploy --query .changed)" = false ]
  [ "$(sha256sum bench.profile)" = "$before" ]
}
