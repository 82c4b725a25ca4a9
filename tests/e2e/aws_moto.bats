#!/usr/bin/env bats
# The aws cloud against moto's server, where it is installed. It checks no signature and takes more than AWS does (see
# aws_faults.bats for the strict one), but nobody of this project wrote it.

setup() {
  load common
  common_setup
  command -v moto_server >/dev/null || skip "moto's server (moto_server) is not installed"
  unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
  export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret AWS_REGION=eu-west-1 IOTCTL_CLOUD=aws
  local port
  port=$(free_port)
  moto_server -H 127.0.0.1 -p "$port" >moto.log 2>&1 &
  pids+=($!)
  export AWS_ENDPOINT_URL=http://127.0.0.1:$port
  until_true 60 curl -sf "$AWS_ENDPOINT_URL/moto-api/data.json" -o moto.json
}

teardown() {
  common_teardown
}

@test "types, groups, policies, devices with certificates, jobs" {
  iotctl api CreatePolicy policyName=device 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
  iotctl group create beta >/dev/null
  iotctl device create pump-1 --type pump --policy device --group beta --out pump-1 >/dev/null
  openssl x509 -in pump-1/certificate.pem -noout
  [ "$(iotctl device show pump-1 --query '[.thingTypeName, .groups[0], .certificates[0].status] | join(" ")')" = "pump beta ACTIVE" ]
  [ "$(iotctl device list --type pump --query '.[].thingName')" = pump-1 ]
  iotctl device disable pump-1 >/dev/null
  [ "$(iotctl device show pump-1 --query '.certificates[0].status')" = INACTIVE ]
  # The account is learned from what was answered.
  printf '{"state":{"desired":{"a":1}}}' >shadow.json
  iotctl api CreateJob jobId=j1 'targets:=["arn:aws:iot:eu-west-1:123456789012:thing/pump-1"]' 'document={"do":"it"}' >/dev/null
  [ "$(iotctl job list --query '.[].jobId')" = j1 ]
  [ "$(iotctl api iotdata:UpdateThingShadow thingName=pump-1 --body shadow.json | jq .version)" = 1 ]
  iotctl device delete pump-1 --yes >/dev/null
  [ "$(iotctl cert list --query length)" = 0 ]
}

@test "what moto does not have says that it is not an endpoint's answer" {
  run iotctl api ListStreams
  [ "$status" -eq 1 ]
  [[ $output == *"HTTP status 500 and no error code"* ]]
}

@test "the contract's cases, but for the differences that are listed with their reasons" {
  export MOTO_URL=$AWS_ENDPOINT_URL
  cd "$BATS_TEST_DIRNAME/.."
  for area in things groups certificates policies shadows; do
    "${IOTCTL_BUILD:-$IOTCTL_BIN/..}/tests/contract_cloud" moto "contract/$area.json"
  done
}
