#!/usr/bin/env bats
# The aws cloud against a strict endpoint (tests/lib/aws_endpoint.py) that checks every signature with an implementation
# of its own and misbehaves when told to: each fault has its exit code and its line, and nothing is ever made twice.

setup() {
  load common
  common_setup
  command -v python3 >/dev/null || skip "python3 is not installed"
  # A proxy of this machine, and whatever AWS settings its user has, are none of the tests' business.
  unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
  export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
  export AWS_REGION=eu-west-1 IOTCTL_CLOUD=aws
  start_endpoint
}

teardown() {
  exec 9>&- || true
  common_teardown
}

start_endpoint() { # [TLS_PEM [CLIENT_CA]]
  local ports
  mkfifo stay
  # The endpoint lives as long as this test holds the other end.
  python3 "$BATS_TEST_DIRNAME/../lib/aws_endpoint.py" ports "$@" <stay >endpoint.log 2>&1 &
  pids+=($!)
  exec 9>stay
  until_true 20 test -s ports
  read -r -a ports <ports
  url=http://127.0.0.1:${ports[0]}
  tls_url=https://localhost:${ports[1]:-0}
  device_url=https://localhost:${ports[2]:-0}
  export AWS_ENDPOINT_URL=$url
}

control() { # PATH [JSON]
  curl -sS --fail ${2:+-d "$2"} "$url/$1"
}

faults() { # JSON of the faults, and more members
  control fault "{\"faults\": [$1]${2:+, $2}}" >/dev/null
}

carried_out() { # OPERATION: how often
  control log | grep -c -x "$1" || true
}

# says CODE PATTERN COMMAND...: exit code, and one line of stderr that says PATTERN
says() {
  local code=$1 pattern=$2
  shift 2
  run "$@"
  [ "$status" -eq "$code" ] || { echo "exit code $status, not $code: $output" >&2; return 1; }
  [[ $output =~ $pattern ]] || { echo "'$output' does not say '$pattern'" >&2; return 1; }
}

@test "operations go where the table says, and the signatures are right" {
  iotctl api CreateThingType thingTypeName=pump >/dev/null
  # A colon is encoded twice in what is signed; so are an ARN's slashes.
  iotctl api CreateThing thingName=hall:1:pump thingTypeName=pump 'attributePayload:={"attributes":{"row":"3"}}' >/dev/null
  [ "$(iotctl api DescribeThing thingName=hall:1:pump --query .attributes.row)" = 3 ]
  iotctl api CreatePolicy policyName=a+b=c,d@e 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
  iotctl api AttachPolicy policyName=a+b=c,d@e target=arn:aws:iot:eu-west-1:123456789012:thinggroup/x >/dev/null
  [ "$(iotctl api ListAttachedPolicies target=arn:aws:iot:eu-west-1:123456789012:thinggroup/x --query '.policies[].policyName')" = 'a+b=c,d@e' ]
  [ "$(iotctl api list-things attributeName=row attributeValue=3 maxResults:=1 --query '.things[0].thingName')" = hall:1:pump ]
  # A payload travels as it is, and comes back as it is.
  printf '{"state":{"desired":{"a":"ä b"}}}' >shadow.json
  iotctl api iotdata:UpdateThingShadow thingName=hall:1:pump shadowName=config --body shadow.json >/dev/null
  [ "$(iotctl api iotdata:GetThingShadow thingName=hall:1:pump shadowName=config | jq -r .state.desired.a)" = 'ä b' ]
  iotctl api DeleteThing thingName=hall:1:pump >/dev/null
  says 3 "no device has the name" iotctl device show hall:1:pump
  # What only a fleet directory can do is refused, and nothing is sent.
  for words in doctor "backup there" "codesign list" "codesign create x" "device claims" "device claim x" "ota push $0 --device a" \
    "ca print" "shadow watch x" "publish a/b --text x" "device provision --board expresslink --port /nowhere"; do
    # shellcheck disable=SC2086 # they are words
    run iotctl $words
    [ "$status" -eq 2 ] || [ "$status" -eq 12 ] || { echo "$words: $status $output" >&2; false; }
    [[ $output != *Sanitizer* ]]
  done
}

@test "a name that AWS would refuse is refused before the call, with the rule" {
  says 2 "letters, digits, ':', '_' and '-'" iotctl api CreateThing 'thingName=bad name'
  says 2 "at most 128" iotctl api CreateThing "thingName=$(printf 'x%.0s' {1..129})"
  [ -z "$(control log)" ]
}

@test "faults: exit code, line, and no duplicates" {
  make() { iotctl api CreateThing thingName=t; }

  # Throttling is waited out, in whatever way it is said.
  for kind in throttle throttle429; do
    faults "{\"fault\": \"$kind\", \"times\": 3}"
    make >/dev/null
    [ "$(carried_out CreateThing)" = 1 ]
  done
  # A passing fault is passed over; a create that may be repeated is repeated.
  for kind in html500 unavailable drop-before drop truncate; do
    faults "{\"fault\": \"$kind\"}"
    make >/dev/null
    [ "$(carried_out CreateThing)" -ge 1 ]
  done
  [ "$(control count | jq .things)" = 1 ]

  # One that stays is told as it is.
  faults '{"fault": "html500", "times": 99}'
  says 1 "answered with HTTP status 500 and no error code" make
  faults '{"fault": "unavailable", "times": 99}'
  says 9 "try again .ServiceUnavailableException." make
  faults '{"fault": "drop-before", "times": 99}'
  says 9 "closed the connection|talking to" make
  faults '{"fault": "html200"}'
  says 1 "not JSON of an operation but 'text/html'" make
  faults '{"fault": "badjson"}'
  says 1 "not JSON of an operation" make
  faults '{"fault": "redirect"}'
  says 1 "HTTP status 302" make
  faults '{"fault": "huge"}'
  says 1 "longer than" make
  # A delete that was carried out before its answer was lost is a success; one of nothing is not AWS's error either.
  faults '{"fault": "drop"}'
  iotctl api DeleteThing thingName=t >/dev/null
  [ "$(control count | jq .things)" = 0 ]
}

@test "nobody knows: what must not happen twice is not done twice" {
  faults '{"fault": "drop"}'
  says 1 "nobody knows whether CreateKeysAndCertificate was carried out" iotctl api CreateKeysAndCertificate
  [ "$(carried_out CreateKeysAndCertificate)" = 1 ]
  faults '{"fault": "html500", "operation": "CreateKeysAndCertificate"}'
  says 1 "nobody knows" iotctl api CreateKeysAndCertificate
  # Throttled is surely not done.
  faults '{"fault": "throttle"}'
  iotctl api CreateKeysAndCertificate >/dev/null
  [ "$(carried_out CreateKeysAndCertificate)" = 1 ]
  faults '{"fault": "drop"}'
  printf '{}' >empty.json
  iotctl api CreateThing thingName=t >/dev/null
  faults '{"fault": "drop"}'
  says 1 "nobody knows" iotctl api iotdata:UpdateThingShadow thingName=t --body empty.json
  [ "$(carried_out UpdateThingShadow)" = 1 ]
}

@test "a certificate whose answer was lost is found again by its key" {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj /CN=pump -out r.pem 2>/dev/null
  jq -n --rawfile csr r.pem '{certificateSigningRequest: $csr, setAsActive: true}' >request.json
  for kind in drop truncate empty badjson; do
    faults "{\"fault\": \"$kind\", \"operation\": \"CreateCertificateFromCsr\"}"
    before=$(control count | jq .certificates)
    iotctl api CreateCertificateFromCsr --input request.json --query .certificatePem >cert.pem 2>notice.err
    [ "$(openssl x509 -in cert.pem -noout -pubkey)" = "$(openssl pkey -in k.pem -pubout)" ]
    # The first attempt's is the only one; after it the same key's is taken for the answer, so nothing new is made.
    [ "$(control count | jq .certificates)" = $((before + 1)) ]
    [ "$(carried_out CreateCertificateFromCsr)" = 1 ]
    # The next round must not find this one.
    for id in $(iotctl api ListCertificates --query '.certificates[].certificateId'); do
      iotctl api UpdateCertificate certificateId="$id" newStatus=INACTIVE >/dev/null
      iotctl api DeleteCertificate certificateId="$id" >/dev/null
    done
  done
  # It was not carried out, but that is not known: looked for, not found, asked for again.
  faults '{"fault": "drop-before", "operation": "CreateCertificateFromCsr"}'
  iotctl api CreateCertificateFromCsr --input request.json >/dev/null 2>&1
  [ "$(control count | jq .certificates)" = 1 ]
}

@test "a device is made with its certificate, and the same call finishes one that was killed" {
  iotctl api CreatePolicy policyName=device 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
  iotctl device create pump-1 --type pump --policy device --out pump-1 >/dev/null
  [ "$(openssl x509 -in pump-1/certificate.pem -noout -pubkey)" = "$(openssl pkey -in pump-1/private.key -pubout)" ]
  [ "$(jq -r .endpoint pump-1/device.json)" = x-ats.iot.eu-west-1.amazonaws.com ]
  [ "$(stat -c %a pump-1/private.key)" = 600 ]
  [ "$(iotctl device show pump-1 --query '.certificates[0].status')" = ACTIVE ]
  [ "$(iotctl device create pump-1 --type pump --policy device --out pump-1 --query .changed)" = false ]
  # The certificate was made, and the call died before it had it.
  rm pump-1/certificate.pem
  iotctl device create pump-1 --type pump --policy device --out pump-1 >/dev/null
  [ "$(openssl x509 -in pump-1/certificate.pem -noout -pubkey)" = "$(openssl pkey -in pump-1/private.key -pubout)" ]
  faults '{"fault": "drop", "operation": "CreateCertificateFromCsr"}, {"fault": "drop", "operation": "CreateThing"},
    {"fault": "throttle", "operation": "AttachPolicy", "times": 2}, {"fault": "html500", "operation": "AttachThingPrincipal"}'
  iotctl device create pump-2 --type pump --policy device --out pump-2 >/dev/null 2>&1
  [ "$(control count | jq -c '[.things, .certificates, .attached, .principals]')" = '[2,2,2,2]' ]
  iotctl device list -o csv >list
  grep -q pump-1 list
  grep -q pump-2 list
  # Off, and gone: detached, deactivated, deleted in the order that AWS takes; with lost answers on the way.
  [ "$(iotctl device disable pump-1 --query '.certificates[0].status // .status')" = INACTIVE ]
  faults '{"fault": "drop", "operation": "DetachThingPrincipal"}, {"fault": "drop", "operation": "DeleteCertificate"},
    {"fault": "html500", "operation": "DeleteThing"}'
  iotctl device delete pump-2 --yes >/dev/null
  [ "$(control count | jq -c '[.things, .certificates, .attached, .principals]')" = '[1,1,1,1]' ]
}

@test "a clock an hour off is corrected once, and said" {
  faults '' '"skew": 3600'
  run iotctl api CreateThing thingName=t
  [ "$status" -eq 0 ]
  [[ $output == *"clock is 3"*" s behind"* ]]
  faults '' '"skew": -3600'
  run iotctl api DescribeThing thingName=t
  [ "$status" -eq 0 ]
  [[ $output == *"ahead of"* ]]
}

@test "credentials: every source, and which one it was when it is refused" {
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  says 5 "no AWS credentials.*profile 'default'" iotctl api ListThings
  mkdir .aws
  cat >.aws/credentials <<END
[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY   # a comment
[wrong]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = not-this-one
[old]
aws_access_key_id = ASIAOLD
aws_secret_access_key = old
aws_session_token = expired-token
[half]
aws_access_key_id = AKIDEXAMPLE
END
  cat >.aws/config <<END
[profile role]
role_arn = arn:aws:iam::123456789012:role/fleet
source_profile = default
[profile other-role]
role_arn = arn:aws:iam::123456789012:role/other
source_profile = default
[profile circle]
role_arn = arn:aws:iam::123456789012:role/fleet
source_profile = circle2
[profile circle2]
role_arn = arn:aws:iam::123456789012:role/fleet
source_profile = circle
[profile program]
credential_process = "$work/get keys" --for 'the fleet'
[profile bad-program]
credential_process = false
[profile sso]
sso_start_url = https://example.com/start
[profile elsewhere]
services = mine
[services mine]
iot =
  endpoint_url = $url
END
  cat >"get keys" <<'END'
#!/bin/sh
[ "$1 $2" = "--for the fleet" ] || exit 3
echo "a line for the person" >&2
echo '{"Version": 1, "AccessKeyId": "ASIAROLE", "SecretAccessKey": "role/secret+of=the&role", "SessionToken": "token/of+the==role",
  "Expiration": "2099-01-01T00:00:00Z"}'
END
  chmod +x "get keys"
  iotctl api ListThings >/dev/null
  iotctl --aws-profile role api ListThings >/dev/null
  AWS_PROFILE=program iotctl api ListThings >/dev/null
  says 5 "does not match.*came from profile 'wrong' in .*/.aws/credentials" iotctl --aws-profile wrong api ListThings
  says 5 "expired.*came from profile 'old'" iotctl --aws-profile old api ListThings
  says 12 "profile 'half' in .* incomplete: aws_secret_access_key is missing" iotctl --aws-profile half api ListThings
  says 5 "not authorized.*taking the role of profile 'other-role'" iotctl --aws-profile other-role api ListThings
  says 12 "leads in circles" iotctl --aws-profile circle api ListThings
  says 12 "no profile 'nobody'" iotctl --aws-profile nobody api ListThings
  says 5 "exit code 1.*credential_process of profile 'bad-program'" iotctl --aws-profile bad-program api ListThings
  says 5 "aws configure export-credentials" iotctl --aws-profile sso api ListThings
  # The environment goes before a profile that nobody named, and after one that was.
  AWS_ACCESS_KEY_ID=AKIDNOBODY AWS_SECRET_ACCESS_KEY=x says 5 "invalid.*came from the environment" iotctl api ListThings
  AWS_ACCESS_KEY_ID=AKIDNOBODY AWS_SECRET_ACCESS_KEY=x iotctl --aws-profile default api ListThings >/dev/null
  # Secrets are in no message.
  not grep -r -e not-this-one -e "role/secret" "$work"/*.log
}

@test "endpoints: option, variables, services section; regions; broken ones" {
  export AWS_ENDPOINT_URL=http://127.0.0.1:1
  iotctl --endpoint-url "$url" api ListThings >/dev/null
  AWS_ENDPOINT_URL_IOT=$url iotctl api ListThings >/dev/null
  says 9 "cannot connect to '127.0.0.1:1'" iotctl api ListThings
  unset AWS_ENDPOINT_URL
  mkdir .aws
  printf '[profile elsewhere]\nservices = mine\n[services mine]\niot =\n  endpoint_url = %s\n' "$url" >.aws/config
  AWS_PROFILE=elsewhere iotctl api ListThings >/dev/null
  says 12 "is not a URL" iotctl --endpoint-url ftp://x api ListThings
  says 12 "is not the name of an AWS region" env AWS_REGION='eu west' iotctl api ListThings
  # One that AWS has not: its name has no address. In a network without anything, so that nobody is asked.
  if unshare -rn true 2>/dev/null; then
    says 9 "'iot.eu-nowhere-9.amazonaws.com' is not known.*is there an AWS region 'eu-nowhere-9'" \
      env AWS_REGION=eu-nowhere-9 unshare -rn iotctl api ListThings
  else
    echo "# no network namespaces here: a region that AWS has not is not tried" >&3
  fi
  unset AWS_REGION
  says 12 "no AWS region is chosen" iotctl api ListThings
  printf 'nonsense\n' >.aws/config
  says 12 "malformed line at .*/.aws/config:1" iotctl --region eu-west-1 api ListThings
}

@test "TLS: the right certificate, the wrong one, and a device's certificate for credentials" {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout k.pem -out server.pem 2>/dev/null
  cat k.pem server.pem >both.pem
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pump-1 -keyout device.key -out device.pem 2>/dev/null
  rm -f stay ports
  start_endpoint both.pem device.pem
  unset AWS_ENDPOINT_URL
  says 11 "certificate of 'localhost:.* is not accepted" iotctl --endpoint-url "$tls_url" api ListThings
  AWS_CA_BUNDLE=server.pem iotctl --endpoint-url "$tls_url" api ListThings >/dev/null
  says 11 "not accepted" env AWS_CA_BUNDLE=server.pem iotctl --endpoint-url "${tls_url/localhost/127.0.0.1}" api ListThings
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  mkdir .aws
  cat >.aws/config <<END
[profile device]
iot_credentials_endpoint = $device_url
iot_role_alias = fleet
iot_certificate = $work/device.pem
iot_private_key = $work/device.key
iot_thing_name = pump-1
END
  AWS_CA_BUNDLE=server.pem AWS_PROFILE=device iotctl --endpoint-url "$url" api ListThings >/dev/null
  sed -i s/pump-1/pump-2/ .aws/config
  export AWS_CA_BUNDLE=server.pem AWS_PROFILE=device
  says 5 "credentials provider of profile 'device'" iotctl --endpoint-url "$url" api ListThings
}

@test "many calls in flight: none is lost and none is done twice, throttled and cut as they are" {
  faults '{"fault": "drop", "times": 3}, {"fault": "html500", "times": 2}, {"fault": "truncate"}' '"rate": 60'
  for i in {1..200}; do echo "{\"thingName\": \"t$i\"}"; done >things.jsonl
  iotctl api CreateThing --lines things.jsonl -o jsonl >rows.jsonl
  [ "$(jq -r .reply.thingName rows.jsonl | sort -u | wc -l)" = 200 ]
  [ "$(control count | jq .things)" = 200 ]
  faults ''
  printf '{"thingName":"t1","attributePayload":{"attributes":{"a":"b"}}}\n\n{"thingName":"new"}\n' >some.jsonl
  says 6 "1 of 2 requests failed" iotctl api CreateThing --lines some.jsonl
  printf '{"thingName":"ok"}\n{"thingName":"not ok"}\n' >bad.jsonl
  says 2 "line 2 of 'bad.jsonl'" iotctl api CreateThing --lines bad.jsonl
  says 3 "no device" iotctl device show ok
}

@test "rates: what is configured is kept, and throttling teaches" {
  faults '' '"rate": 8'
  for i in 1 2 3; do
    iotctl api CreateThing thingName="t$i" >/dev/null &
    pids+=($!)
  done
  wait "${pids[@]:1}"
  [ "$(control count | jq .things)" = 3 ]
  says 12 "is not a rate" env IOTCTL_AWS_RATES=CreateThing iotctl api ListThings
  says 12 "no operation 'Nothing'" env IOTCTL_AWS_RATES=Nothing=5 iotctl api ListThings
  # 40 at 50 a second, of which 10 may come at once.
  for i in {1..40}; do echo "{\"thingName\": \"r$i\"}"; done >things.jsonl
  faults ''
  began=${EPOCHREALTIME/./}
  IOTCTL_AWS_RATES='CreateThing=50,*=10' iotctl api CreateThing --lines things.jsonl >/dev/null
  [ $((${EPOCHREALTIME/./} - began)) -ge 580000 ]
}
