#!/usr/bin/env bash
# How fast 1,000 CreateThing through one iotctl process are, beside a loop over one libcurl handle (signed by libcurl, answers
# not read) and beside a loop of the AWS CLI where that is installed, on the same endpoint. Prints the best of
# interleaved rounds, as other work on the machine only ever makes a run of 50 ms slower; fails when iotctl reaches less of the bare loop than asked for.
#
#   bench_aws.sh [ROUNDS [PERCENT]]     $IOTCTL_BIN: the folder of a release build; $IOTCTL_BENCH: of bench_aws
set -euo pipefail
rounds=${1:-15} wanted=${2:-60} count=1000 cli_calls=5
export PATH=${IOTCTL_BIN:?the folder of the built program}:${IOTCTL_BENCH:?the folder of bench_aws}:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/iotctl-bench.XXXXXX")
cd "$work"
# shellcheck disable=SC2046 # names
unset $(compgen -v AWS_) http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy
export XDG_CONFIG_HOME=$work IOTCTL_CLOUD=aws AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret
export AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none

mkfifo stay
bench_aws serve port <stay &
endpoint=$!
exec 9>stay
trap 'exec 9>&-; wait "$endpoint" || true; rm -rf "$work"' EXIT
until [ -s port ]; do sleep 0.05; done
AWS_ENDPOINT_URL=http://127.0.0.1:$(<port)
export AWS_ENDPOINT_URL

for ((i = 0; i < count; i++)); do printf '{"thingName":"bench-%06d"}\n' "$i"; done >things.jsonl

microseconds() { # COMMAND...: how long it took
  local start=$EPOCHREALTIME
  "$@"
  local end=$EPOCHREALTIME
  echo $((${end/./} - ${start/./}))
}
ours() { iotctl api CreateThing --lines things.jsonl -o jsonl >rows; }
peer() { bench_aws bare "$AWS_ENDPOINT_URL" "$count"; }
cli() { for ((i = 0; i < cli_calls; i++)); do aws --region eu-west-1 iot create-thing --thing-name "bench-$i" >cli.out; done; }
best() { sort -g "$1" | head -n 1; }

peer # all warm
ours
[ "$(grep -c '"result":"ok"' rows)" = "$count" ]
for ((round = 0; round < rounds; round++)); do
  microseconds ours >>ours.us
  microseconds peer >>peer.us
done
ours_us=$(best ours.us) peer_us=$(best peer.us) percent=$((100 * $(best peer.us) / $(best ours.us)))
echo "$count CreateThing: iotctl $((ours_us / 1000)) ms, a bare libcurl loop $((peer_us / 1000)) ms: $percent % of it (wanted: $wanted %)"
if command -v aws >/dev/null; then
  cli_us=$(($(microseconds cli) * count / cli_calls))
  echo "a loop of the AWS CLI would take $((cli_us / 1000000)) s: iotctl is $((cli_us / ours_us)) times as fast"
else
  echo "skipped: the AWS CLI is not installed"
fi
[ "$percent" -ge "$wanted" ]
