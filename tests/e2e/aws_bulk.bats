#!/usr/bin/env bats
# shellcheck disable=SC2154 # what common.bash and aws.bash share with the tests
# Many devices at AWS: rows are under way together, and whatever happens to the calls and to the process, in the end there is
# one result for each row, one certificate for each device, and the key on disk of each certificate.

setup() {
  load common
  load aws
  common_setup
  aws_setup
}

teardown() {
  aws_teardown
}

list_devices() { # COUNT
  echo name
  for ((i = 1; i <= $1; i++)); do echo "pump-$i"; done
}

under() { control fault "{\"faults\": [$1]${2:+, $2}}" >/dev/null; }

# Each key is the one of the certificate beside it, and AWS has just these certificates, all attached.
whole() { # COUNT
  local folder ids=
  [ "$(counts)" = "$1 $1 $1 $1" ] || { echo "counts: $(counts), not $1 of each" >&2; return 1; }
  for folder in pumps/*/; do
    [ "$(stat -c %a "$folder/private.key")" = 600 ]
    [ "$(openssl x509 -in "$folder/certificate.pem" -noout -pubkey)" = "$(openssl pkey -in "$folder/private.key" -pubout)" ]
    ids+=$(openssl x509 -in "$folder/certificate.pem" -outform DER | sha256sum | cut -c1-64)$'\n'
  done
  [ "$(printf %s "$ids" | sort -u | wc -l)" = "$1" ]
  # What AWS has is what lies here: none beside it.
  iotctl api ListCertificates pageSize:=250 --query '.certificates[].certificateId' | sort >there
  printf %s "$ids" | sort | diff - there
}

# The rows that FILE tells of without an error, once each.
told() { jq -r 'select(.error == null).thingName' "$1" | sort -u | wc -l; }

@test "rows are under way together, each with its result; a throttled account slows them and loses none" {
  list_devices 60 >pumps.csv
  under '' '"rates": {"CreateThing": 20, "DescribeThing": 60}, "latency": [30, 60]'
  iotctl device create --from pumps.csv --type pump -o jsonl >rows.jsonl
  [ "$(wc -l <rows.jsonl) $(told rows.jsonl) $(count things)" = "60 60 60" ]
  [ "$(jq .line rows.jsonl | sort -n | tr '\n' ' ')" = "$(seq 2 61 | tr '\n' ' ')" ]
  [ "$(control throttled | jq .CreateThing)" -gt 0 ]
  [ "$(control most)" -ge 10 ]
  [ "$(done_of CreateThingType)" = 1 ]
  # Within the quota, with room for a machine that stalls, nothing is refused.
  under '' '"rates": {"UpdateThing": 40}, "latency": [30, 60]'
  IOTCTL_AWS_RATES='*=0,UpdateThing=20' iotctl device update --from pumps.csv --attribute site=7 -o jsonl >rows.jsonl
  [ "$(told rows.jsonl) $(done_of UpdateThing)" = "60 60" ]
  [ "$(control throttled)" = '{}' ]
  [ "$(iotctl device list --attribute site=7 --query length)" = 60 ]
}

@test "killed again and again, cut and throttled: no certificate twice, no key lost, no row lost" {
  list_devices 40 >pumps.csv
  under '{"fault": "drop", "operation": "CreateCertificateFromCsr", "times": 3}, {"fault": "truncate", "operation": "CreateCertificateFromCsr"},
    {"fault": "drop", "operation": "CreateThing", "times": 3}, {"fault": "throttle", "operation": "AttachPolicy", "times": 5},
    {"fault": "html500", "operation": "DescribeThing", "times": 3}, {"fault": "drop", "operation": "AttachThingPrincipal", "times": 2}' \
    '"latency": [20, 40]'
  export IOTCTL_AWS_RATES='*=200,CreateCertificateFromCsr=6'
  bulk_create=(iotctl -q device create --from pumps.csv --policy device --issuer aws --out pumps --resume journal -o jsonl)
  for goal in 6 16 28; do
    "${bulk_create[@]}" >>rows.jsonl 2>>err &
    bulk=$!
    enough() { [ "$(count certificates)" -ge "$goal" ]; }
    until_true 60 enough
    kill -9 "$bulk"
    wait "$bulk" || true
  done
  "${bulk_create[@]}" >>rows.jsonl
  [ "$(told rows.jsonl)" = 40 ]
  whole 40
  # All of it is settled: not a single call, not a single row.
  under ''
  "${bulk_create[@]}" >again.jsonl
  [ ! -s again.jsonl ]
  [ "$(control log)" = "" ]
}

@test "many are retired, and given a policy; a row whose end only the killed call saw is not a failed one" {
  list_devices 20 >pumps.csv
  export IOTCTL_AWS_RATES='*=200'
  iotctl -q device create --from pumps.csv --issuer aws --out pumps >/dev/null
  iotctl policy attach device --from pumps.csv -o jsonl >rows.jsonl
  [ "$(told rows.jsonl)" = 20 ]
  whole 20
  [ "$(iotctl policy attach device --from pumps.csv -o jsonl | jq .changed | sort -u)" = false ]
  # The last answer of each is late: when the call is killed, things are gone of which it does not know.
  under '{"fault": "hang", "operation": "DeleteThing", "times": 3}, {"fault": "drop", "operation": "DeleteCertificate", "times": 3},
    {"fault": "throttle", "operation": "DetachPolicy", "times": 4}'
  iotctl -q device retire --from pumps.csv --yes --resume journal -o jsonl >rows.jsonl 2>err &
  bulk=$!
  begun() { [ "$(done_of DeleteThing)" -ge 5 ]; }
  until_true 60 begun
  kill -9 "$bulk"
  wait "$bulk" || true
  [ "$(told rows.jsonl)" -lt "$(done_of DeleteThing)" ]
  under ''
  iotctl -q device retire --from pumps.csv --yes --resume journal -o jsonl >>rows.jsonl
  [ "$(told rows.jsonl)" = 20 ]
  [ "$(counts)" = "0 0 0 0" ]
  # One that never was there is one.
  printf 'name\nnobody\n' >nobody.csv
  fault 6 "1 of 1 devices were not retired" iotctl -q device retire --from nobody.csv --yes
  fault 2 "is for one device" iotctl device retire --from pumps.csv --dry-run
  fault 2 "name a device, or a file" iotctl device retire pump-1 --from pumps.csv --yes
  fault 2 "belong to --from" iotctl device update pump-1 --resume journal
  fault 2 "journal" iotctl -q device update --from pumps.csv --resume journal
  printf 'name,policy\npump-1,device\n' >wrong.csv
  fault 2 "policy" iotctl -q device update --from wrong.csv
}

@test "what is not a row's own fault ends it all, and the same call goes on" {
  list_devices 30 >pumps.csv
  under '{"fault": "denied", "operation": "CreateThing", "times": 2}'
  expect 6 iotctl -q device create --from pumps.csv --resume journal -o jsonl
  [ "$(jq -r 'select(.error != null).error' <<<"$out" | grep -c 'not authorized')" = 2 ]
  expect 0 iotctl -q device create --from pumps.csv --resume journal --retry-failed -o jsonl
  [ "$(wc -l <<<"$out") $(count things)" = "2 30" ]
  # The endpoint goes away.
  list_devices 50 >more.csv
  AWS_ENDPOINT_URL=http://127.0.0.1:1 fault 9 "the same call goes on" iotctl -q device update --from more.csv --attribute a=b --resume j2
  # Asked to end: what is under way is finished, nothing else is begun.
  under '' '"rates": {"CreateThing": 5}, "latency": [50, 100]'
  IOTCTL_AWS_RATES='*=0,CreateThing=5' iotctl -q device create --from more.csv --resume j3 -o jsonl >rows.jsonl 2>err &
  bulk=$!
  until_true 30 test -s rows.jsonl
  kill -TERM "$bulk"
  code=0
  wait "$bulk" || code=$?
  [ "$code" = 143 ]
  under ''
  iotctl -q device create --from more.csv --resume j3 -o jsonl >>rows.jsonl
  [ "$(jq -r .thingName rows.jsonl | sort | uniq -d | wc -l) $(told rows.jsonl) $(count things)" = "0 50 50" ]
}
