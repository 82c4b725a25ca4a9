#!/usr/bin/env bash
# Imports point down, and each third-party library is called from one folder (ARCHITECTURE.md). Says every line that breaks it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bad=0

# Which public headers belong to which layer, and which layers a folder may use.
declare -A layer_of=(
  [base]=base [error]=base [buf]=base [text]=base [fs]=base [clock]=base [log]=base [json]=base [csv]=base
  [cli]=cli [output]=cli [settings]=cli [progress]=cli [command]=command
  [digest]=crypto [key]=crypto [cert]=crypto [image]=crypto [streamcbor]=crypto [tls]=crypto [sigv4]=crypto
  [seal]=crypto [policy]=policy [topic]=policy [store]=store [mqtt]=transport [process]=transport [serial]=transport
  [at]=board [board]=board [board_description]=board [expresslink]=board [credential]=board [swd]=board [cloud]=cloud [local]=cloud
  [broker]=broker [sim]=sim [fleet]=fleet [layout]=fleet [messaging]=fleet [shadow]=fleet [configuration]=fleet
  [remote_command]=fleet [http]=transport [aws]=cloud [operator]=cloud [profile]=fleet [cbor]=crypto [cose]=crypto
  [attest]=crypto [jwt]=crypto [psk]=broker [pskfile]=fleet [events]=fleet [frame]=crypto [psklink]=transport
  [endpoint]=transport [trust]=fleet
  [gateway]=gateway [children]=fleet [station]=fleet
)
declare -A may_use=(
  [base]="base" [cli]="cli base" [crypto]="crypto base" [policy]="policy base" [store]="store base"
  [transport]="transport crypto base"
  [board]="board crypto transport base"
  [cloud]="cloud store policy crypto transport base"
  [broker]="broker cloud store policy crypto transport base"
  [broker/plugin]="broker store policy crypto base"
  [sim]="sim board cloud policy crypto transport base"
  [fleet]="fleet board cloud store policy crypto transport base"
  [gateway]="gateway fleet broker cloud store policy crypto transport base"
  [command]="command cli gateway fleet broker sim board cloud policy crypto transport base"
)

folder_of() { # src/broker/plugin/x.c -> broker/plugin; src/cloud/local/x.c -> cloud
  case $1 in
    src/broker/plugin/*) echo broker/plugin ;;
    src/main.c | src/docgen.c) echo command ;;
    *) cut -d/ -f2 <<<"$1" ;;
  esac
}

while IFS=: read -r file line include; do
  header=${include#*iotctl/}
  header=${header%%.h*}
  folder=$(folder_of "$file")
  layer=${layer_of[$header]:-}
  if [ -z "$layer" ]; then
    echo "$file:$line: header '$header.h' has no layer; give it one in tests/check/layers.sh"
    bad=1
  elif [[ " ${may_use[$folder]:-} " != *" $layer "* ]]; then
    echo "$file:$line: '$folder' may not use '$layer' (iotctl/$header.h)"
    bad=1
  fi
done < <(grep -rnE '^#include "iotctl/' src --include='*.[ch]')

only_in() { # PATTERN FOLDER...: this include appears in these folders alone
  local pattern=$1 hit
  shift
  while IFS= read -r hit; do
    for folder in "$@"; do
      [[ $hit == "$folder"/* ]] && continue 2
    done
    echo "$hit: this library belongs to $*"
    bad=1
  done < <(grep -rnE "^#include <($pattern)" src include --include='*.[ch]')
}
only_in 'openssl/' src/crypto src/transport/psk
only_in 'cbor' src/crypto
only_in 'sqlite3' src/store
only_in 'microhttpd' src/broker
only_in 'mosquitto\.h' src/transport src/broker/plugin
only_in 'mosquitto_(plugin|broker)' src/broker/plugin
only_in 'jq\.h|jv\.h|ini\.h' src/cli
only_in 'qrencode|png' src/fleet
only_in 'curl/|libserialport' src/transport

exit "$bad"
