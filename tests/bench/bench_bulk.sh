#!/usr/bin/env bash
# How much of the configured quota a bulk run reaches: 'device create --from', 'device update --from' and 'device retire
# --from' against the strict endpoint of the tests, which holds the same quota (a bucket of a fifth of a second), with 50 to 100 ms of latency in
# each call. Prints rows a second, the share of the quota and how often the endpoint had to refuse; fails when a row is lost or
# less than PERCENT is reached.
#
#   bench_bulk.sh [ROWS [PERCENT]]     $IOTCTL_BIN: the folder of the built program
set -euo pipefail
rows=${1:-1000} wanted=${2:-95} here=$(cd "$(dirname "$0")" && pwd)
export PATH=${IOTCTL_BIN:?the folder of the built program}:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-bench.XXXXXX")
cd "$work"
# shellcheck disable=SC2046 # names
unset $(compgen -v AWS_) http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy
export HOME=$work XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state IOTCTL_CLOUD=aws AWS_REGION=eu-west-1
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
export AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none

mkfifo stay
python3 "$here/../lib/aws_endpoint.py" ports <stay &
endpoint=$!
exec 9>stay
trap 'exec 9>&-; wait "$endpoint" || true; rm -rf "$work"' EXIT
until [ -s ports ]; do sleep 0.05; done
AWS_ENDPOINT_URL=http://127.0.0.1:$(cut -d' ' -f1 ports)
export AWS_ENDPOINT_URL
control() { curl -sS --fail ${2:+-d "$2"} "$AWS_ENDPOINT_URL/$1"; }
rate=50 failed=0
iotctl api CreatePolicy policyName=device 'policyDocument={"Version":"2012-10-17","Statement":[]}' >/dev/null
{
  echo name
  for ((i = 0; i < rows; i++)); do printf 'bench-%06d\n' "$i"; done
} >things.csv

measure() { # NAME OPERATION QUOTA COMMAND...: OPERATION is called once a row, and is what holds the run back
  local name=$1 operation=$2 quota=$3 start end us got percent
  shift 3
  control fault "{\"latency\": [50, 100], \"rates\": {\"$operation\": $quota}}" >/dev/null
  start=$EPOCHREALTIME
  IOTCTL_AWS_RATES="*=0,$operation=$quota" "$@" -o jsonl >rows.jsonl
  end=$EPOCHREALTIME
  us=$((${end/./} - ${start/./}))
  got=$(jq -r 'select(.error == null).thingName' rows.jsonl | sort -u | wc -l)
  percent=$((rows * 100 * 1000000 / us / quota))
  echo "$name: $got of $rows rows in $((us / 1000)) ms: $percent % of $operation's $quota a second (wanted: $wanted %)," \
    "refused $(control throttled | jq ".$operation // 0") times"
  [ "$got" = "$rows" ] && [ "$percent" -ge "$wanted" ] || failed=1
}

measure 'create, no certificate' CreateThing $rate iotctl device create --from things.csv
[ "$(control count | jq .things)" = "$rows" ] || failed=1
measure update UpdateThing $rate iotctl device update --from things.csv --attribute site=7
measure retire DeleteThing $rate iotctl device retire --from things.csv --yes
[ "$(control count | jq .things)" = 0 ] || failed=1
iotctl -q --cloud local init demo >/dev/null 2>&1
measure 'create with certificate' RegisterCertificateWithoutCA 25 iotctl device create --from things.csv --policy device --out things
[ "$(control count | jq -c '[.things, .certificates, .principals, .attached]')" = "[$rows,$rows,$rows,$rows]" ] || failed=1
exit "$failed"
