#!/usr/bin/env bats
# The whole command set from elsewhere: a second home that holds nothing but an operator's profile, where it can be in a
# network of its own that reaches the fleet's machine by one cable only.

bats_require_minimum_version 1.5.0

setup() {
  load common
  common_setup
  network_of_its_own
}

teardown() {
  common_teardown
  no_network
}

# Two ends of a cable: 'away' runs where the fleet's loopback is not. Needs rights that not every builder has.
network_of_its_own() {
  space=iotctl$$ host=localhost elsewhere=()
  if ip netns add "$space" 2>/dev/null; then
    if ip link add "iot$$" type veth peer name "iop$$" 2>/dev/null && ip link set "iop$$" netns "$space" 2>/dev/null; then
      host=10.213.$((BASHPID / 250 % 250)).1
      ip addr add "$host/30" dev "iot$$" && ip link set "iot$$" up
      ip netns exec "$space" ip addr add "${host%.1}.2/30" dev "iop$$"
      ip netns exec "$space" ip link set "iop$$" up
      elsewhere=(ip netns exec "$space")
      return
    fi
    ip netns del "$space"
  fi
  space=
  echo "# no network namespaces here: the second home is on the same host" >&3
}

no_network() {
  [ -z "$space" ] || { ip link del "iot$$" || true; ip netns del "$space"; }
}

away() { # ARGUMENT...: iotctl in the other home
  "${elsewhere[@]}" env -u XDG_RUNTIME_DIR HOME="$work/away" XDG_CONFIG_HOME="$work/away/config" XDG_DATA_HOME="$work/away/data" \
    XDG_STATE_HOME="$work/away/state" IOTCTL_PROFILE="$work/away/bench.profile" iotctl "$@"
}

start_remote() { # [ROLE]
  port=$(free_port) api_port=$(free_port)
  iotctl init demo --port "$port" --endpoint "$host" >/dev/null
  iotctl serve --detach --listen 0.0.0.0 --api-port "$api_port"
  mkdir away
  iotctl -q operator create bench --role "${1:-admin}" --out away/bench.profile >/dev/null
  # An operator who signs has the key, by a way of its own.
  cp "$fleet/codesign/default.key" away/sign.key
}

listening() { iotctl -q command send "$1" --timeout 2s >/dev/null; }

@test "an update is pushed, followed, repeated, refused and canceled" {
  start_remote deploy
  firmware 1.0.0 old.bin --size 32k
  firmware 1.1.0 new.bin --size 64k
  make_device pump-0001
  make_device pump-0002
  start_device pump-0001 --image old.bin
  until_true 20 device_says pump-0001 .firmware 1.0.0
  # No key here, the wrong key, none at all: nothing is made.
  fault 2 "there is no fleet folder with a code-signing key 'default' here" away ota push new.bin --to pump-0001
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out away/other.key 2>/dev/null
  expect 11 away ota push new.bin --to pump-0001 --key ./away/other.key
  expect 11 away ota push new.bin --to pump-0001 --unsigned
  [ "$(iotctl ota list --query length)" = 0 ]
  [ "$(iotctl stream list --query length)" = 0 ]
  away -q ota push new.bin --to pump-0001 --key ./away/sign.key --id first --wait --timeout 60s >/dev/null
  device_says pump-0001 .firmware 1.1.0
  [ "$(away ota show first --query '.executions[0].status')" = SUCCEEDED ]
  [ "$(away ota list --query '.[0].version')" = 1.1.0 ]
  expect 4 away ota push new.bin --to pump-0001 --key ./away/sign.key
  # With a signature made where the key is; the same call again finds what it made.
  firmware 1.2.0 newer.bin --size 64k
  iotctl image sign newer.bin >/dev/null
  [ "$(away -q ota push newer.bin --to pump-0002 --signature newer.bin.sig.json --id second --query .changed)" = true ]
  [ "$(away -q ota push newer.bin --to pump-0002 --signature newer.bin.sig.json --id second --query .changed)" = false ]
  fault 4 "exists" away ota push new.bin --to pump-0002 --key ./away/sign.key --id second
  away ota watch second --timeout 1s >/dev/null 2>&1 || [ $? -eq 8 ]
  [ "$(away -q ota doctor second --query '.[0].cause')" = "it is not connected" ]
  [ "$(away -q ota cancel second --query .status)" = CANCELED ]
  away job list --query '.[].jobId' | grep -q AFR_OTA-second
  # Streams outlive their jobs.
  [ "$(away -q ota gc --older-than 0s --dry-run --query length)" = 2 ]
  away -q ota gc --older-than 0s >/dev/null
  [ "$(away stream list --query length)" = 0 ]
}

@test "a large image goes in parts; the OTA service can make the job, and says why it cannot" {
  start_remote deploy
  firmware 2.0.0 large.bin --size 20m
  make_device pump-0001
  away -q ota push large.bin --to pump-0001 --key ./away/sign.key --via ota-update --id big >/dev/null
  cmp large.bin "$fleet/images/$(sha256sum large.bin | cut -d' ' -f1)"
  [ "$(away api GetOTAUpdate otaUpdateId=big --query .otaUpdateInfo.otaUpdateStatus)" = CREATE_COMPLETE ]
  away api GetJobDocument jobId=AFR_OTA-big --query .document >document.json
  # What a device decodes once is the signature, which the fleet's key accepts.
  jq -r '.afr_ota.files[0]["sig-sha256-ecdsa"]' document.json | base64 -d >big.sig
  openssl dgst -sha256 -verify "$fleet/codesign/default.pub" -signature big.sig large.bin
  # A job of that name is in the way: the service fails, and nothing of it stays.
  iotctl -q api CreateJob jobId=AFR_OTA-twice 'targets:=["arn:aws:iot:local:000000000000:thing/pump-0001"]' document='{}' >/dev/null
  expect 1 away ota push large.bin --to pump-0001 --key ./away/sign.key --via ota-update --id twice
  [[ $err == *"could not make update 'twice'"* ]]
  expect 3 away api GetOTAUpdate otaUpdateId=twice
  expect 2 away ota push large.bin --to pump-0001 --key ./away/sign.key --via ota-update --retries 2
}

@test "devices with keys and certificates made elsewhere connect; they are shown, changed, renewed, retired" {
  start_remote
  away -q group create beta >/dev/null
  away -q device create pump-0001 --type pump --policy device --group beta --out ./away/pump-0001 >/dev/null
  [ "$(stat -c %a away/pump-0001/private.key)" = 600 ]
  [ "$(away -q device create pump-0001 --type pump --policy device --out ./away/pump-0001 --query .changed)" = false ]
  cmp away/pump-0001/ca.pem "$fleet/ca/root.pem"
  cmp away/pump-0001/codesign.pem "$fleet/codesign/default.pub"
  [ "$(jq -r '.port' away/pump-0001/device.json)" = "$port" ]
  not grep -rq PRIVATE "$fleet/registry.db"
  # A board's request; a key that AWS does not take is refused before anything is asked.
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout b.key -subj /CN=board -out b.csr 2>/dev/null
  away -q device create pump-0002 --policy device --csr b.csr --out ./away/pump-0002 >/dev/null
  [ "$(openssl x509 -in away/pump-0002/certificate.pem -noout -pubkey)" = "$(openssl pkey -in b.key -pubout)" ]
  openssl req -new -newkey ed25519 -nodes -keyout e.key -subj /CN=board -out e.csr 2>/dev/null
  expect 2 away device create pump-0003 --policy device --csr e.csr --out ./away/pump-0003
  [ "$(away cert list --query length)" = "$(iotctl cert list --query length)" ]
  firmware 1.0.0 old.bin
  iotctl sim device ./away/pump-0001 --image old.bin 2>>device.log >>device.out 3>&- &
  device_pid=$!
  pids+=("$device_pid")
  until_true 20 device_says pump-0001 .firmware 1.0.0
  [ "$(away device show pump-0001 --query '[.connected, .groups[0], .certificates[0].status] | join(" ")')" = "true beta ACTIVE" ]
  away -q device update pump-0001 --alias north --attribute site=7 >/dev/null
  [ "$(away device show north --query .attributes.site)" = 7 ]
  away -q device disable north >/dev/null
  until_true 5 device_says pump-0001 .connected false
  away -q device enable north >/dev/null
  until_true 20 device_says pump-0001 .connected true
  away -q device rotate north --out ./away/second >/dev/null
  expect 11 away device rotate north --finish
  [ "$(away device list --group beta --query '.[].thingName')" = pump-0001 ]
  away -q device delete pump-0002 --yes >/dev/null
  away -q shadow update pump-0001 --desired '{"a": 1}' >/dev/null
  away device retire north --dry-run --query '.[].operation' >calls
  [ "$(grep -c -x DeleteCertificate calls)" = 2 ]
  [ "$(tail -1 calls)" = DeleteThing ]
  device_says pump-0001 .alias north
  away -q device retire north --yes >/dev/null
  expect 3 iotctl device show pump-0001
  [ "$(sqlite3 "$fleet/registry.db" "SELECT count(*) FROM shadows")" = 0 ]
}

@test "types, groups, policies, certificates, CAs, jobs, layouts, by their verbs" {
  start_remote
  away -q type create pump >/dev/null
  [ "$(away type list --query '.[].thingTypeName')" = pump ]
  away -q device create pump-0001 --type pump --policy device --out ./away/pump-0001 >/dev/null
  away -q group create beta >/dev/null
  away -q group add beta pump-0001 >/dev/null
  [ "$(away group show beta --query .thingGroupName)" = beta ]
  away policy show device >device.json
  away -q policy create second device.json >/dev/null
  away policy list --query '.[].policyName' | grep -q second
  id=$(away cert list --query '.[0].certificateId')
  away cert show "$id" -o json | grep -q "$id"
  away ca root >root.pem
  cmp root.pem "$fleet/ca/root.pem"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=vendor" -addext basicConstraints=critical,CA:true \
    -keyout v.key -out vendor.pem 2>/dev/null
  away -q ca trust vendor.pem >/dev/null
  away ca list --query '.[].certificateId' | grep -q "$(openssl x509 -in vendor.pem -noout -fingerprint -sha256 | cut -d= -f2 | tr -d : | tr A-F a-f)"
  away -q api CreateJob jobId=j1 'targets:=["arn:aws:iot:local:000000000000:thing/pump-0001"]' document='{"do": "it"}' >/dev/null
  [ "$(away job show j1 --query .job.status)" = IN_PROGRESS ]
  away -q job cancel j1 >/dev/null
  [ "$(iotctl job show j1 --query .job.status)" = CANCELED ]
  away layout list --query '.[].name' | grep -q -x aws
  printf 'name,policy,group\npump-0007,device,beta\npump-0008,device,beta\n' >more.csv
  [ "$(away -q device create --from more.csv --out ./away/more --query 'map(.thingName) | join(" ")')" = "pump-0007 pump-0008" ]
  openssl x509 -in away/more/pump-0008/certificate.pem -noout
  # What only the fleet's own machine can do says so.
  for words in "doctor" "backup there" "codesign list" "operator list" "device claims" "layout add device.json"; do
    # shellcheck disable=SC2086 # they are words
    expect 2 away $words
  done
}

@test "configurations, shadows, commands with their replies, messages" {
  start_remote
  firmware 1.0.0 old.bin
  away -q device create pump-0001 --type pump --policy device --out ./away/pump-0001 >/dev/null
  iotctl sim device ./away/pump-0001 --image old.bin 2>>device.log >>device.out 3>&- &
  device_pid=$!
  pids+=("$device_pid")
  until_true 20 device_says pump-0001 .connected true
  printf '{"speed": 3}' >config.json
  away -q config set config.json --to pump-0001 >/dev/null
  [ "$(away config get pump-0001 | jq .speed)" = 3 ]
  [ "$(away config history pump-0001 --query '.[0].version')" = 1 ]
  away -q shadow update pump-0001 --desired '{"light": "on"}' >/dev/null
  [ "$(away shadow get pump-0001 --query .state.desired.light)" = on ]
  until_true 20 listening pump-0001
  [ "$(away -q command send pump-0001 -m '{"do": "it"}' --wait --timeout 20s -o jsonl | jq -r .outcome)" = answered ]
  away subscribe 'pump/+/said' --count 2 --timeout 30s -o jsonl >heard.jsonl 2>heard.err 3>&- &
  listener=$!
  pids+=("$listener")
  until_true 20 grep -q . heard.err
  away -q publish pump/pump-0001/said -m one >/dev/null
  # Where the profile has no broker, over HTTPS.
  sed -i '/^broker/d' away/bench.profile
  [ "$(away -q publish pump/pump-0001/said -m two --query '[.acknowledged, .sent, .rest] | join(" ")')" = "1 0 0" ]
  expect 12 away subscribe 'pump/#' --count 1
  [[ $err == *"has no 'broker'"* ]]
  until_true 20 gone "$listener"
  [ "$(jq -r .payload heard.jsonl | sort | xargs)" = "one two" ]
  # A journal works over HTTPS too, and what a rule refuses is named.
  printf 'a\nb\nc\n' >lines
  [ "$(away -q publish pump/x/said --lines -f lines --resume sent --query .acknowledged)" = 3 ]
  [ "$(away -q publish pump/x/said --lines -f lines --resume sent --query .skipped)" = 3 ]
}
