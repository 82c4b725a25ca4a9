# bash completion for iotctl, generated from its command tree
# shellcheck shell=bash

# Values that change: ask the program, which answers within 200 ms or not at all.
_iotctl_live() {
	local line
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <(iotctl __complete "$1" "$2" "${COMP_WORDS[@]:1}" 2>/dev/null)
	# a folder: what is in it comes next
	[[ ${COMPREPLY[*]} != */ ]] || compopt -o nospace 2>/dev/null
}

# _iotctl_offer 'KIND [WORDS]' PREFIX
_iotctl_offer() {
	case $1 in
	words\ *) mapfile -t COMPREPLY < <(compgen -W "${1#words }" -- "$2") ;;
	live\ *) _iotctl_live "${1#live }" "$2" ;;
	file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
		;;
	dir)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$2")
		;;
	esac
}

# What the value of an option may be; nothing for one that takes none.
_iotctl_value() {
	case "$1 $2" in
	'init --endpoint') echo 'none' ;;
	'init --port') echo 'none' ;;
	'init --directory') echo 'dir' ;;
	'init --ca-key') echo 'file' ;;
	'serve --listen') echo 'none' ;;
	'serve --port') echo 'none' ;;
	'serve --staging-port') echo 'none' ;;
	'serve --psk-port') echo 'none' ;;
	'serve --jwt-port') echo 'none' ;;
	'serve --project') echo 'none' ;;
	'serve --token-skew') echo 'none' ;;
	'serve --api-port') echo 'none' ;;
	'serve --api-listen') echo 'none' ;;
	'serve --plugin') echo 'file' ;;
	'serve --mosquitto') echo 'file' ;;
	'operator create --role') echo 'words admin deploy observe' ;;
	'operator create --policy') echo 'file' ;;
	'operator create --expires') echo 'none' ;;
	'operator create --api-url') echo 'none' ;;
	'operator create --out') echo 'file' ;;
	'operator rotate --expires') echo 'none' ;;
	'operator rotate --api-url') echo 'none' ;;
	'operator rotate --out') echo 'file' ;;
	'device create --alias') echo 'none' ;;
	'device create -t' | 'device create --type') echo 'live type' ;;
	'device create -g' | 'device create --group') echo 'live group' ;;
	'device create -a' | 'device create --attribute') echo 'none' ;;
	'device create -p' | 'device create --policy') echo 'live policy' ;;
	'device create --out') echo 'dir' ;;
	'device create --csr') echo 'file' ;;
	'device create --days') echo 'none' ;;
	'device create --issuer') echo 'words auto fleet aws' ;;
	'device create --from') echo 'file' ;;
	'device create --resume') echo 'file' ;;
	'device create --max-failures') echo 'none' ;;
	'device list -t' | 'device list --type') echo 'live type' ;;
	'device list -g' | 'device list --group') echo 'live group' ;;
	'device list -a' | 'device list --attribute') echo 'none' ;;
	'device list --limit') echo 'none' ;;
	'device update --alias') echo 'none' ;;
	'device update -t' | 'device update --type') echo 'live type' ;;
	'device update -g' | 'device update --group') echo 'live group' ;;
	'device update -a' | 'device update --attribute') echo 'none' ;;
	'device update --from') echo 'file' ;;
	'device update --resume') echo 'file' ;;
	'device update --max-failures') echo 'none' ;;
	'device retire --from') echo 'file' ;;
	'device retire --resume') echo 'file' ;;
	'device retire --max-failures') echo 'none' ;;
	'device rotate --out') echo 'dir' ;;
	'device rotate --csr') echo 'file' ;;
	'device rotate --days') echo 'none' ;;
	'device rotate --timeout') echo 'none' ;;
	'device trust update --endpoint') echo 'none' ;;
	'device trust update --root-ca') echo 'file' ;;
	'device trust update --new-fleet') echo 'live fleet' ;;
	'device trust update -g' | 'device trust update --group') echo 'live group' ;;
	'device trust update -b' | 'device trust update --board') echo 'live board' ;;
	'device trust update --port') echo 'live port' ;;
	'device trust update --baud') echo 'none' ;;
	'device trust update --pulse') echo 'words none dtr rts' ;;
	'device trust update --transcript') echo 'file' ;;
	'device trust update --old-root-ca') echo 'file' ;;
	'device trust update --connect-timeout') echo 'none' ;;
	'device trust update --timeout') echo 'none' ;;
	'device trust update --max-failures') echo 'none' ;;
	'device trust update --resume') echo 'file' ;;
	'device trust update --id') echo 'none' ;;
	'device trust update --device-timeout') echo 'none' ;;
	'device trust update --per-minute') echo 'none' ;;
	'device claim --name') echo 'none' ;;
	'device claim -t' | 'device claim --type') echo 'live type' ;;
	'device claim -p' | 'device claim --policy') echo 'live policy' ;;
	'device claim -g' | 'device claim --group') echo 'live group' ;;
	'device claim --certificate') echo 'none' ;;
	'device claim --from') echo 'file' ;;
	'type create --description') echo 'none' ;;
	'group create --parent') echo 'live group' ;;
	'group create --description') echo 'none' ;;
	'group create --dynamic') echo 'none' ;;
	'group list --parent') echo 'live group' ;;
	'policy show --version') echo 'none' ;;
	'policy delete --version') echo 'none' ;;
	'policy attach --to') echo 'live device' ;;
	'policy attach -g' | 'policy attach --group') echo 'live group' ;;
	'policy attach --from') echo 'file' ;;
	'policy attach --resume') echo 'file' ;;
	'policy attach --max-failures') echo 'none' ;;
	'policy detach --to') echo 'live device' ;;
	'policy detach -g' | 'policy detach --group') echo 'live group' ;;
	'policy generate --layout') echo 'file' ;;
	'policy generate --type') echo 'live type' ;;
	'board probe -b' | 'board probe --board') echo 'live board' ;;
	'board probe --port') echo 'live port' ;;
	'board probe --baud') echo 'none' ;;
	'board probe --pulse') echo 'words none dtr rts' ;;
	'board probe --transcript') echo 'file' ;;
	'board image -F' | 'board image --format') echo 'words iotc pkcs11 pkcs11-stm32f4 esp-secure-cert' ;;
	'board image --part') echo 'none' ;;
	'provision -b' | 'provision --board') echo 'live board' ;;
	'provision --port') echo 'live port' ;;
	'provision --baud') echo 'none' ;;
	'provision --pulse') echo 'words none dtr rts' ;;
	'provision --transcript') echo 'file' ;;
	'provision -n' | 'provision --name') echo 'none' ;;
	'provision --serial') echo 'none' ;;
	'provision -t' | 'provision --type') echo 'live type' ;;
	'provision -p' | 'provision --policy') echo 'live policy' ;;
	'provision -g' | 'provision --group') echo 'live group' ;;
	'provision --endpoint') echo 'none' ;;
	'provision --endpoint-port') echo 'none' ;;
	'provision --wifi-ssid') echo 'none' ;;
	'provision --wifi-password-file') echo 'file' ;;
	'provision --apn') echo 'none' ;;
	'provision --codesign') echo 'live key' ;;
	'provision --issuer') echo 'words auto fleet aws' ;;
	'provision --connect-timeout') echo 'none' ;;
	'provision --lock') echo 'words none reversible permanent' ;;
	'provision --lock-also') echo 'none' ;;
	'station run --port') echo 'live port' ;;
	'station run --station') echo 'none' ;;
	'station run --start') echo 'words plug scan swap' ;;
	'station run --serials') echo 'file' ;;
	'station run --range') echo 'none' ;;
	'station run -n' | 'station run --count') echo 'none' ;;
	'station run --labels') echo 'dir' ;;
	'station run --issuer') echo 'words auto fleet aws' ;;
	'station close --station') echo 'none' ;;
	'station report --station') echo 'none' ;;
	'station report --shift') echo 'none' ;;
	'station export --station') echo 'none' ;;
	'station export --shift') echo 'none' ;;
	'station verify -k' | 'station verify --key') echo 'file' ;;
	'codesign create -t' | 'codesign create --type') echo 'words p256 rsa2048 rsa3072' ;;
	'image sign -k' | 'image sign --key') echo 'live key' ;;
	'image sign --scheme') echo 'words sig-sha256-ecdsa sig-sha256-rsa sig-sha1-rsa' ;;
	'image sign --signature') echo 'file' ;;
	'image verify -k' | 'image verify --key') echo 'file' ;;
	'image verify --signature') echo 'file' ;;
	'ota push --to') echo 'live device' ;;
	'ota push -g' | 'ota push --group') echo 'live group' ;;
	'ota push --version') echo 'none' ;;
	'ota push --kind') echo 'words firmware host module module-cert root-ca host-cert' ;;
	'ota push --timeout') echo 'none' ;;
	'ota push --device-timeout') echo 'none' ;;
	'ota push --per-minute') echo 'none' ;;
	'ota push --retries') echo 'none' ;;
	'ota push --max-failures') echo 'none' ;;
	'ota push --max-failures-after') echo 'none' ;;
	'ota push --start') echo 'none' ;;
	'ota push --via') echo 'words job ota-update' ;;
	'ota push --bucket') echo 'none' ;;
	'ota push --role-arn') echo 'none' ;;
	'ota push -k' | 'ota push --key') echo 'live key' ;;
	'ota push --signature') echo 'file' ;;
	'ota push --verify-key') echo 'file' ;;
	'ota push --id') echo 'none' ;;
	'ota push --device-path') echo 'none' ;;
	'ota push --device-cert') echo 'none' ;;
	'ota watch --timeout') echo 'none' ;;
	'ota gc --older-than') echo 'none' ;;
	'job create --to') echo 'live device' ;;
	'job create -g' | 'job create --group') echo 'live group' ;;
	'job create --description') echo 'none' ;;
	'job create --device-timeout') echo 'none' ;;
	'job list --status') echo 'words IN_PROGRESS COMPLETED CANCELED SCHEDULED' ;;
	'job executions --status') echo 'words QUEUED IN_PROGRESS SUCCEEDED FAILED TIMED_OUT REJECTED REMOVED CANCELED' ;;
	'publish -m' | 'publish --message') echo 'none' ;;
	'publish -f' | 'publish --file') echo 'file' ;;
	'publish --format') echo 'words text hex base64 json' ;;
	'publish --to') echo 'live device' ;;
	'publish -g' | 'publish --group') echo 'live group' ;;
	'publish --role') echo 'words config command reply event state' ;;
	'publish --subfolder') echo 'none' ;;
	'publish -n' | 'publish --count') echo 'none' ;;
	'publish --rate') echo 'none' ;;
	'publish --window') echo 'none' ;;
	'publish --timeout') echo 'none' ;;
	'publish --resume') echo 'file' ;;
	'publish --qos') echo 'none' ;;
	'publish --as') echo 'dir' ;;
	'subscribe -n' | 'subscribe --count') echo 'none' ;;
	'subscribe --timeout') echo 'none' ;;
	'subscribe --format') echo 'words text hex base64 json' ;;
	'subscribe --qos') echo 'none' ;;
	'subscribe --as') echo 'dir' ;;
	'command send -g' | 'command send --group') echo 'live group' ;;
	'command send --from') echo 'file' ;;
	'command send -m' | 'command send --message') echo 'none' ;;
	'command send -f' | 'command send --file') echo 'file' ;;
	'command send --format') echo 'words text hex base64 json' ;;
	'command send --subfolder') echo 'none' ;;
	'command send --timeout') echo 'none' ;;
	'command send --in-flight') echo 'none' ;;
	'command send --max-failures') echo 'none' ;;
	'command send --resume') echo 'file' ;;
	'command send --as') echo 'dir' ;;
	'layout use --type') echo 'live type' ;;
	'config set -t' | 'config set --to') echo 'live device' ;;
	'config set -g' | 'config set --group') echo 'live group' ;;
	'config set --from') echo 'file' ;;
	'config set --if-version') echo 'none' ;;
	'config get --version') echo 'none' ;;
	'config list -g' | 'config list --group') echo 'live group' ;;
	'config list -T' | 'config list --type') echo 'live type' ;;
	'config diff --from') echo 'none' ;;
	'config diff --to') echo 'none' ;;
	'config rollback --to') echo 'none' ;;
	'shadow get -n' | 'shadow get --name') echo 'none' ;;
	'shadow update -n' | 'shadow update --name') echo 'none' ;;
	'shadow update --desired') echo 'none' ;;
	'shadow update --reported') echo 'none' ;;
	'shadow update --if-version') echo 'none' ;;
	'shadow delete -n' | 'shadow delete --name') echo 'none' ;;
	'shadow watch -n' | 'shadow watch --name') echo 'none' ;;
	'shadow watch -c' | 'shadow watch --count') echo 'none' ;;
	'shadow watch --timeout') echo 'none' ;;
	'state watch -n' | 'state watch --count') echo 'none' ;;
	'state watch --timeout') echo 'none' ;;
	'events tail -k' | 'events tail --kind') echo 'none' ;;
	'events tail -d' | 'events tail --device') echo 'live device' ;;
	'events tail -n' | 'events tail --count') echo 'none' ;;
	'events tail --timeout') echo 'none' ;;
	'events route add -s' | 'events route add --subfolder') echo 'none' ;;
	'events route add --layout') echo 'none' ;;
	'events route add --registry') echo 'none' ;;
	'events route add -f' | 'events route add --file') echo 'file' ;;
	'events route add --max-size') echo 'none' ;;
	'events route add --keep') echo 'none' ;;
	'events route add -t' | 'events route add --topic') echo 'none' ;;
	'events route add --before') echo 'none' ;;
	'gateway create --out') echo 'dir' ;;
	'gateway create --type') echo 'live type' ;;
	'gateway create --children') echo 'none' ;;
	'gateway create --days') echo 'none' ;;
	'gateway add --copy-to') echo 'none' ;;
	'gateway export --out') echo 'dir' ;;
	'gateway export --identity') echo 'dir' ;;
	'gateway run --listen') echo 'none' ;;
	'gateway run --port') echo 'none' ;;
	'gateway run --policy') echo 'file' ;;
	'gateway run --nonce') echo 'none' ;;
	'gateway run --suites') echo 'none' ;;
	'gateway run --state') echo 'dir' ;;
	'gateway run --endpoint') echo 'none' ;;
	'gateway run --endpoint-port') echo 'none' ;;
	'gateway run --ca') echo 'file' ;;
	'gateway run --devices') echo 'none' ;;
	'gateway run --handshake-timeout') echo 'none' ;;
	'gateway run --attestation-timeout') echo 'none' ;;
	'gateway run --message-timeout') echo 'none' ;;
	'gateway run --idle-timeout') echo 'none' ;;
	'gateway run --queue-messages') echo 'none' ;;
	'gateway run --queue-size') echo 'none' ;;
	'psk create --identity') echo 'none' ;;
	'psk create --size') echo 'none' ;;
	'psk create --out') echo 'file' ;;
	'psk list --device') echo 'live device' ;;
	'psk show --out') echo 'file' ;;
	'psk rotate --identity') echo 'none' ;;
	'psk rotate --size') echo 'none' ;;
	'psk rotate --out') echo 'file' ;;
	'psk export --out') echo 'file' ;;
	'psk export --format') echo 'words mosquitto csv json' ;;
	'psk export --device') echo 'live device' ;;
	'psk import --device') echo 'live device' ;;
	'attest verify --device') echo 'live device' ;;
	'attest verify -k' | 'attest verify --key') echo 'file' ;;
	'attest verify --public-key') echo 'file' ;;
	'attest verify --nonce') echo 'none' ;;
	'attest verify --instance-id') echo 'none' ;;
	'attest verify --algorithm') echo 'words HMAC256 HMAC384 HMAC512 ES256 ES384 ES512' ;;
	'attest verify -p' | 'attest verify --policy') echo 'file' ;;
	'attest policy make --implementation-id') echo 'none' ;;
	'attest policy make --out') echo 'file' ;;
	'attest policy list --device') echo 'live device' ;;
	'attest policy assign --device') echo 'live device' ;;
	'attest policy assign -g' | 'attest policy assign --group') echo 'live group' ;;
	'attest policy assign -t' | 'attest policy assign --type') echo 'live type' ;;
	'attest policy unassign --device') echo 'live device' ;;
	'attest policy unassign -g' | 'attest policy unassign --group') echo 'live group' ;;
	'attest policy unassign -t' | 'attest policy unassign --type') echo 'live type' ;;
	'attest add-key --expires') echo 'none' ;;
	'jwt create -k' | 'jwt create --key') echo 'file' ;;
	'jwt create -a' | 'jwt create --audience') echo 'none' ;;
	'jwt create --lifetime') echo 'none' ;;
	'jwt create --claim') echo 'none' ;;
	'jwt inspect -a' | 'jwt inspect --audience') echo 'none' ;;
	'jwt inspect --skew') echo 'none' ;;
	'jwt verify --device') echo 'live device' ;;
	'jwt verify -k' | 'jwt verify --key') echo 'file' ;;
	'jwt verify -a' | 'jwt verify --audience') echo 'none' ;;
	'jwt verify --skew') echo 'none' ;;
	'jwt add-key --expires') echo 'none' ;;
	'sim firmware --version') echo 'none' ;;
	'sim firmware --out') echo 'file' ;;
	'sim firmware --size') echo 'none' ;;
	'sim device --image') echo 'file' ;;
	'sim device --block-size') echo 'none' ;;
	'sim device --window') echo 'none' ;;
	'sim device --watchdog') echo 'none' ;;
	'sim device --request-timeout') echo 'none' ;;
	'sim device --exit-after') echo 'none' ;;
	'sim device --fault') echo 'none' ;;
	'sim device --behaviour') echo 'file' ;;
	'sim fleet -n' | 'sim fleet --count') echo 'none' ;;
	'sim fleet --connect-window') echo 'none' ;;
	'sim fleet --image') echo 'file' ;;
	'sim fleet --block-size') echo 'none' ;;
	'sim fleet --window') echo 'none' ;;
	'sim fleet --watchdog') echo 'none' ;;
	'sim fleet --request-timeout') echo 'none' ;;
	'sim fleet --exit-after') echo 'none' ;;
	'sim fleet --fault') echo 'none' ;;
	'sim fleet --behaviour') echo 'file' ;;
	'sim jwt-device -k' | 'sim jwt-device --key') echo 'file' ;;
	'sim jwt-device --ca') echo 'file' ;;
	'sim jwt-device --project') echo 'none' ;;
	'sim jwt-device --host') echo 'none' ;;
	'sim jwt-device --port') echo 'none' ;;
	'sim jwt-device --location') echo 'none' ;;
	'sim jwt-device --registry') echo 'none' ;;
	'sim jwt-device --audience') echo 'none' ;;
	'sim jwt-device --lifetime') echo 'none' ;;
	'sim jwt-device --interval') echo 'none' ;;
	'sim jwt-device --renewals') echo 'none' ;;
	'sim jwt-device --exit-after') echo 'none' ;;
	'sim jwt-device --fault') echo 'none' ;;
	'sim psk-device --host') echo 'none' ;;
	'sim psk-device --port') echo 'none' ;;
	'sim psk-device -k' | 'sim psk-device --key') echo 'file' ;;
	'sim psk-device --attestation-key') echo 'file' ;;
	'sim psk-device --suites') echo 'none' ;;
	'sim psk-device -n' | 'sim psk-device --count') echo 'none' ;;
	'sim psk-device --interval') echo 'none' ;;
	'sim psk-device --exit-after') echo 'none' ;;
	'sim psk-device --fault') echo 'words bad-key bad-token wrong-nonce replay lifecycle other-device huge garbage early-data silent slow' ;;
	'sim expresslink --link') echo 'file' ;;
	'sim expresslink --state') echo 'dir' ;;
	'sim expresslink --broker-port') echo 'none' ;;
	'sim expresslink --staging') echo 'none' ;;
	'sim expresslink --spec') echo 'words v0.5 v1.0 v1.1 v1.2 v1.3' ;;
	'sim expresslink --baud') echo 'none' ;;
	'sim expresslink --exec-time') echo 'none' ;;
	'sim expresslink --fault') echo 'words noise silence silence-in-pem wrong-speed literal-pem' ;;
	'sim expresslink --seed') echo 'none' ;;
	'sim expresslink --vendor-ca') echo 'file' ;;
	'sim expresslink --vendor-key') echo 'file' ;;
	'sim expresslink --root-ca') echo 'file' ;;
	'sim expresslink --firmware') echo 'none' ;;
	'sim expresslink --ssid') echo 'none' ;;
	'sim expresslink --wifi-password-file') echo 'file' ;;
	'sim expresslink --exit-after') echo 'none' ;;
	'sim board --kind') echo 'words freertos nrf91 sim7600 zephyr' ;;
	'sim board --link') echo 'file' ;;
	'sim board --state') echo 'dir' ;;
	'sim board --baud') echo 'none' ;;
	'sim board --fault') echo 'words log wrong-speed no-overwrite fail-commit fail-key' ;;
	'sim board --seed') echo 'none' ;;
	'sim board --endpoint') echo 'none' ;;
	'sim board --firmware') echo 'none' ;;
	'sim board --exit-after') echo 'none' ;;
	'sim host --port') echo 'live port' ;;
	'sim host --state') echo 'dir' ;;
	'sim host --image') echo 'file' ;;
	'sim host --certificate') echo 'file' ;;
	'sim host --topic') echo 'none' ;;
	'sim host --interval') echo 'none' ;;
	'sim host --read-size') echo 'none' ;;
	'sim host --watchdog') echo 'none' ;;
	'sim host --exit-after') echo 'none' ;;
	'api --input') echo 'file' ;;
	'api --lines') echo 'file' ;;
	'api --body') echo 'file' ;;
	*' -o' | *' --output') echo 'words table wide json jsonl csv' ;;
	*' --query') echo 'none' ;;
	*' --profile') echo 'live profile' ;;
	*' --fleet') echo 'live fleet' ;;
	*' --cloud') echo 'words local aws' ;;
	*' --region') echo 'none' ;;
	*' --endpoint-url') echo 'none' ;;
	*' --aws-profile') echo 'none' ;;
	*' --color') echo 'words auto always never' ;;
	*' --progress') echo 'words auto bar plain json none' ;;
	esac
}

# Sets subs, opts and args of a command of the tree.
_iotctl_node() {
	subs='' args=() opts=' --output --query --profile --fleet --cloud --region --endpoint-url --aws-profile --color --progress --quiet --verbose --no-input --help'
	case $1 in
	'')
		subs='init serve operator backup restore doctor device type group policy cert ca board provision station codesign image ota job stream publish subscribe command layout config shadow state events gateway psk attest jwt sim api settings completion version'
		opts+=''
		args=()
		;;
	'init')
		subs=''
		opts+=' --endpoint --port --directory --ca-key --keep-default'
		args=('none')
		;;
	'serve')
		subs=''
		opts+=' --detach --stop --status --listen --port --staging-port --psk-port --jwt-port --project --token-skew --api-port --api-listen --plugin --mosquitto'
		args=()
		;;
	'operator')
		subs='create rotate revoke list show'
		opts+=''
		args=()
		;;
	'operator create')
		subs=''
		opts+=' --role --policy --expires --api-url --out'
		args=('none')
		;;
	'operator rotate')
		subs=''
		opts+=' --expires --api-url --out'
		args=('none')
		;;
	'operator revoke')
		subs=''
		opts+=''
		args=('none')
		;;
	'operator list')
		subs=''
		opts+=''
		args=()
		;;
	'operator show')
		subs=''
		opts+=''
		args=('none')
		;;
	'backup')
		subs=''
		opts+=''
		args=('dir')
		;;
	'restore')
		subs=''
		opts+=''
		args=('dir' 'none')
		;;
	'doctor')
		subs=''
		opts+=''
		args=()
		;;
	'device')
		subs='create list show update delete enable disable retire rotate trust claim claims unclaim'
		opts+=''
		args=()
		;;
	'device create')
		subs=''
		opts+=' --alias --type --group --attribute --policy --out --csr --days --issuer --from --resume --retry-failed --max-failures --update'
		args=('none')
		;;
	'device list')
		subs=''
		opts+=' --type --group --attribute --limit'
		args=()
		;;
	'device show')
		subs=''
		opts+=''
		args=('live device')
		;;
	'device update')
		subs=''
		opts+=' --alias --type --group --attribute --from --resume --retry-failed --max-failures'
		args=('live device')
		;;
	'device delete')
		subs=''
		opts+=' --yes'
		args=('live device')
		;;
	'device enable')
		subs=''
		opts+=''
		args=('live device')
		;;
	'device disable')
		subs=''
		opts+=''
		args=('live device')
		;;
	'device retire')
		subs=''
		opts+=' --yes --dry-run --from --resume --retry-failed --max-failures'
		args=('live device')
		;;
	'device rotate')
		subs=''
		opts+=' --out --csr --days --timeout --finish --force'
		args=('live device')
		;;
	'device trust')
		subs='update'
		opts+=''
		args=()
		;;
	'device trust update')
		subs=''
		opts+=' --endpoint --root-ca --new-fleet --group --board --port --baud --pulse --transcript --old-root-ca --connect-timeout --wait --timeout --max-failures --resume --id --device-timeout --per-minute --force --dry-run'
		args=('live device +')
		;;
	'device claim')
		subs=''
		opts+=' --name --type --policy --group --certificate --from --update'
		args=('none')
		;;
	'device claims')
		subs=''
		opts+=''
		args=()
		;;
	'device unclaim')
		subs=''
		opts+=''
		args=('none')
		;;
	'type')
		subs='create list show deprecate delete'
		opts+=''
		args=()
		;;
	'type create')
		subs=''
		opts+=' --description'
		args=('live type')
		;;
	'type list')
		subs=''
		opts+=''
		args=()
		;;
	'type show')
		subs=''
		opts+=''
		args=('live type')
		;;
	'type deprecate')
		subs=''
		opts+=' --undo'
		args=('live type')
		;;
	'type delete')
		subs=''
		opts+=''
		args=('live type')
		;;
	'group')
		subs='create list show members add remove delete'
		opts+=''
		args=()
		;;
	'group create')
		subs=''
		opts+=' --parent --description --dynamic'
		args=('live group')
		;;
	'group list')
		subs=''
		opts+=' --parent'
		args=()
		;;
	'group show')
		subs=''
		opts+=''
		args=('live group')
		;;
	'group members')
		subs=''
		opts+=' --direct'
		args=('live group')
		;;
	'group add')
		subs=''
		opts+=''
		args=('live group' 'live device +')
		;;
	'group remove')
		subs=''
		opts+=''
		args=('live group' 'live device +')
		;;
	'group delete')
		subs=''
		opts+=''
		args=('live group')
		;;
	'policy')
		subs='create update show list versions delete attach detach targets lint test generate'
		opts+=''
		args=()
		;;
	'policy create')
		subs=''
		opts+=''
		args=('live policy' 'file')
		;;
	'policy update')
		subs=''
		opts+=''
		args=('live policy' 'file')
		;;
	'policy show')
		subs=''
		opts+=' --version'
		args=('live policy')
		;;
	'policy list')
		subs=''
		opts+=''
		args=()
		;;
	'policy versions')
		subs=''
		opts+=''
		args=('live policy')
		;;
	'policy delete')
		subs=''
		opts+=' --version'
		args=('live policy')
		;;
	'policy attach')
		subs=''
		opts+=' --to --group --from --resume --retry-failed --max-failures'
		args=('live policy')
		;;
	'policy detach')
		subs=''
		opts+=' --to --group'
		args=('live policy')
		;;
	'policy targets')
		subs=''
		opts+=''
		args=('live policy')
		;;
	'policy lint')
		subs=''
		opts+=' --strict'
		args=('file')
		;;
	'policy test')
		subs=''
		opts+=''
		args=('live device' 'none +')
		;;
	'policy generate')
		subs=''
		opts+=' --layout --type --no-services'
		args=()
		;;
	'cert')
		subs='list show register update delete'
		opts+=''
		args=()
		;;
	'cert list')
		subs=''
		opts+=''
		args=()
		;;
	'cert show')
		subs=''
		opts+=''
		args=('live cert')
		;;
	'cert register')
		subs=''
		opts+=' --without-ca'
		args=('file')
		;;
	'cert update')
		subs=''
		opts+=''
		args=('live cert' 'words ACTIVE INACTIVE REVOKED')
		;;
	'cert delete')
		subs=''
		opts+=' --force'
		args=('live cert')
		;;
	'ca')
		subs='list root trust distrust'
		opts+=''
		args=()
		;;
	'ca list')
		subs=''
		opts+=''
		args=()
		;;
	'ca root')
		subs=''
		opts+=''
		args=()
		;;
	'ca trust')
		subs=''
		opts+=''
		args=('file')
		;;
	'ca distrust')
		subs=''
		opts+=''
		args=('none')
		;;
	'board')
		subs='list probe kinds show image'
		opts+=''
		args=()
		;;
	'board list')
		subs=''
		opts+=''
		args=()
		;;
	'board probe')
		subs=''
		opts+=' --board --port --baud --pulse --transcript'
		args=()
		;;
	'board kinds')
		subs=''
		opts+=''
		args=()
		;;
	'board show')
		subs=''
		opts+=''
		args=('live board')
		;;
	'board image')
		subs=''
		opts+=' --format --part'
		args=('dir' 'file')
		;;
	'provision')
		subs=''
		opts+=' --board --port --baud --pulse --transcript --name --serial --type --policy --group --endpoint --endpoint-port --wifi-ssid --wifi-password-file --apn --codesign --issuer --connect-timeout --replace --lock --lock-also --yes-irreversible'
		args=()
		;;
	'station')
		subs='run close report export verify'
		opts+=''
		args=()
		;;
	'station run')
		subs=''
		opts+=' --port --station --start --serials --range --no-serials --count --labels --issuer --replace --screen --no-screen'
		args=('file')
		;;
	'station close')
		subs=''
		opts+=' --station'
		args=()
		;;
	'station report')
		subs=''
		opts+=' --station --shift'
		args=()
		;;
	'station export')
		subs=''
		opts+=' --station --shift'
		args=()
		;;
	'station verify')
		subs=''
		opts+=' --key --open'
		args=('file +')
		;;
	'codesign')
		subs='create list public certificate'
		opts+=''
		args=()
		;;
	'codesign create')
		subs=''
		opts+=' --type'
		args=('none')
		;;
	'codesign list')
		subs=''
		opts+=''
		args=()
		;;
	'codesign public')
		subs=''
		opts+=''
		args=('live key')
		;;
	'codesign certificate')
		subs=''
		opts+=''
		args=('live key')
		;;
	'image')
		subs='sign verify inspect'
		opts+=''
		args=()
		;;
	'image sign')
		subs=''
		opts+=' --key --scheme --signature --allow-legacy'
		args=('file')
		;;
	'image verify')
		subs=''
		opts+=' --key --signature --allow-legacy'
		args=('file')
		;;
	'image inspect')
		subs=''
		opts+=''
		args=('file')
		;;
	'ota')
		subs='push list show watch cancel doctor gc'
		opts+=''
		args=()
		;;
	'ota push')
		subs=''
		opts+=' --to --group --version --kind --wait --timeout --device-timeout --per-minute --retries --max-failures --max-failures-after --start --via --bucket --role-arn --key --signature --verify-key --id --device-path --device-cert --force --allow-legacy --unsigned --unchecked'
		args=('file')
		;;
	'ota list')
		subs=''
		opts+=''
		args=()
		;;
	'ota show')
		subs=''
		opts+=''
		args=('live ota')
		;;
	'ota watch')
		subs=''
		opts+=' --timeout'
		args=('live ota')
		;;
	'ota cancel')
		subs=''
		opts+=' --force'
		args=('live ota')
		;;
	'ota doctor')
		subs=''
		opts+=''
		args=('live ota')
		;;
	'ota gc')
		subs=''
		opts+=' --older-than --dry-run'
		args=()
		;;
	'job')
		subs='create list show executions cancel cancel-one delete'
		opts+=''
		args=()
		;;
	'job create')
		subs=''
		opts+=' --to --group --description --device-timeout'
		args=('none' 'file')
		;;
	'job list')
		subs=''
		opts+=' --status'
		args=()
		;;
	'job show')
		subs=''
		opts+=''
		args=('live job')
		;;
	'job executions')
		subs=''
		opts+=' --status'
		args=('live job')
		;;
	'job cancel')
		subs=''
		opts+=' --force'
		args=('live job')
		;;
	'job cancel-one')
		subs=''
		opts+=' --force'
		args=('live job' 'live device')
		;;
	'job delete')
		subs=''
		opts+=' --force --yes'
		args=('live job')
		;;
	'stream')
		subs='list show delete'
		opts+=''
		args=()
		;;
	'stream list')
		subs=''
		opts+=''
		args=()
		;;
	'stream show')
		subs=''
		opts+=''
		args=('none')
		;;
	'stream delete')
		subs=''
		opts+=''
		args=('none')
		;;
	'publish')
		subs=''
		opts+=' --message --file --lines --format --retain --to --group --all --role --subfolder --count --rate --window --timeout --resume --qos --as'
		args=('none +')
		;;
	'subscribe')
		subs=''
		opts+=' --count --timeout --format --no-retained --qos --as'
		args=('none +')
		;;
	'command')
		subs='send'
		opts+=''
		args=()
		;;
	'command send')
		subs=''
		opts+=' --group --from --message --file --format --subfolder --wait --timeout --in-flight --even-offline --max-failures --resume --retry-failed --as'
		args=('live device +')
		;;
	'layout')
		subs='list show check add use topics'
		opts+=''
		args=()
		;;
	'layout list')
		subs=''
		opts+=''
		args=()
		;;
	'layout show')
		subs=''
		opts+=''
		args=('file')
		;;
	'layout check')
		subs=''
		opts+=''
		args=('file')
		;;
	'layout add')
		subs=''
		opts+=' --update'
		args=('file')
		;;
	'layout use')
		subs=''
		opts+=' --type'
		args=('none')
		;;
	'layout topics')
		subs=''
		opts+=''
		args=('live device')
		;;
	'config')
		subs='set get list history diff rollback schema'
		opts+=''
		args=()
		;;
	'config set')
		subs=''
		opts+=' --to --group --from --if-version'
		args=('file')
		;;
	'config get')
		subs=''
		opts+=' --version'
		args=('live device')
		;;
	'config list')
		subs=''
		opts+=' --group --type --pending'
		args=('live device +')
		;;
	'config history')
		subs=''
		opts+=''
		args=('live device')
		;;
	'config diff')
		subs=''
		opts+=' --from --to'
		args=('live device')
		;;
	'config rollback')
		subs=''
		opts+=' --to'
		args=('live device')
		;;
	'config schema')
		subs='set show'
		opts+=''
		args=()
		;;
	'config schema set')
		subs=''
		opts+=''
		args=('live type' 'file')
		;;
	'config schema show')
		subs=''
		opts+=''
		args=('live type')
		;;
	'shadow')
		subs='get update delete list watch'
		opts+=''
		args=()
		;;
	'shadow get')
		subs=''
		opts+=' --name'
		args=('live device')
		;;
	'shadow update')
		subs=''
		opts+=' --name --desired --reported --if-version'
		args=('live device' 'file')
		;;
	'shadow delete')
		subs=''
		opts+=' --name'
		args=('live device')
		;;
	'shadow list')
		subs=''
		opts+=''
		args=('live device')
		;;
	'shadow watch')
		subs=''
		opts+=' --name --count --timeout'
		args=('live device')
		;;
	'state')
		subs='list watch'
		opts+=''
		args=()
		;;
	'state list')
		subs=''
		opts+=''
		args=('live device')
		;;
	'state watch')
		subs=''
		opts+=' --count --timeout'
		args=('live device')
		;;
	'events')
		subs='tail route'
		opts+=''
		args=()
		;;
	'events tail')
		subs=''
		opts+=' --kind --device --count --timeout'
		args=()
		;;
	'events route')
		subs='add list show remove check'
		opts+=''
		args=()
		;;
	'events route add')
		subs=''
		opts+=' --subfolder --default --layout --registry --file --max-size --keep --topic --shell --before'
		args=('none' 'none +')
		;;
	'events route list')
		subs=''
		opts+=''
		args=()
		;;
	'events route show')
		subs=''
		opts+=''
		args=('none')
		;;
	'events route remove')
		subs=''
		opts+=''
		args=('none')
		;;
	'events route check')
		subs=''
		opts+=''
		args=()
		;;
	'gateway')
		subs='create add remove children export run'
		opts+=''
		args=()
		;;
	'gateway create')
		subs=''
		opts+=' --out --type --children --days'
		args=('none')
		;;
	'gateway add')
		subs=''
		opts+=' --copy-to'
		args=('live device' 'live device')
		;;
	'gateway remove')
		subs=''
		opts+=''
		args=('live device' 'live device')
		;;
	'gateway children')
		subs=''
		opts+=''
		args=('live device')
		;;
	'gateway export')
		subs=''
		opts+=' --out --identity'
		args=('live device')
		;;
	'gateway run')
		subs=''
		opts+=' --listen --port --policy --nonce --suites --state --endpoint --endpoint-port --ca --devices --handshake-timeout --attestation-timeout --message-timeout --idle-timeout --queue-messages --queue-size'
		args=('dir')
		;;
	'psk')
		subs='create list show rotate revoke delete export import'
		opts+=''
		args=()
		;;
	'psk create')
		subs=''
		opts+=' --identity --size --attestation --out --force --reveal'
		args=('live device')
		;;
	'psk list')
		subs=''
		opts+=' --device'
		args=()
		;;
	'psk show')
		subs=''
		opts+=' --out --force --reveal'
		args=('none')
		;;
	'psk rotate')
		subs=''
		opts+=' --identity --size --attestation --out --force --reveal'
		args=('live device')
		;;
	'psk revoke')
		subs=''
		opts+=''
		args=('none')
		;;
	'psk delete')
		subs=''
		opts+=''
		args=('none')
		;;
	'psk export')
		subs=''
		opts+=' --out --force --reveal --attestation --format --device'
		args=()
		;;
	'psk import')
		subs=''
		opts+=' --attestation --device'
		args=('file')
		;;
	'attest')
		subs='verify decode policy add-key keys remove-key'
		opts+=''
		args=()
		;;
	'attest verify')
		subs=''
		opts+=' --device --key --public-key --nonce --instance-id --algorithm --policy --allow-test-keys'
		args=('file')
		;;
	'attest decode')
		subs=''
		opts+=''
		args=('file')
		;;
	'attest policy')
		subs='make create list show delete assign unassign'
		opts+=''
		args=()
		;;
	'attest policy make')
		subs=''
		opts+=' --later --implementation-id --out'
		args=('file +')
		;;
	'attest policy create')
		subs=''
		opts+=' --replace'
		args=('none' 'file')
		;;
	'attest policy list')
		subs=''
		opts+=' --device'
		args=()
		;;
	'attest policy show')
		subs=''
		opts+=''
		args=('none')
		;;
	'attest policy delete')
		subs=''
		opts+=''
		args=('none')
		;;
	'attest policy assign')
		subs=''
		opts+=' --device --group --type'
		args=('none')
		;;
	'attest policy unassign')
		subs=''
		opts+=' --device --group --type'
		args=('none')
		;;
	'attest add-key')
		subs=''
		opts+=' --expires'
		args=('live device' 'file')
		;;
	'attest keys')
		subs=''
		opts+=''
		args=('live device')
		;;
	'attest remove-key')
		subs=''
		opts+=''
		args=('live device' 'none')
		;;
	'jwt')
		subs='create inspect verify add-key keys remove-key'
		opts+=''
		args=()
		;;
	'jwt create')
		subs=''
		opts+=' --key --audience --lifetime --claim'
		args=()
		;;
	'jwt inspect')
		subs=''
		opts+=' --audience --skew'
		args=('file')
		;;
	'jwt verify')
		subs=''
		opts+=' --device --key --audience --skew'
		args=('file')
		;;
	'jwt add-key')
		subs=''
		opts+=' --expires'
		args=('live device' 'file')
		;;
	'jwt keys')
		subs=''
		opts+=''
		args=('live device')
		;;
	'jwt remove-key')
		subs=''
		opts+=''
		args=('live device' 'none')
		;;
	'sim')
		subs='firmware device fleet jwt-device psk-device expresslink board host'
		opts+=''
		args=()
		;;
	'sim firmware')
		subs=''
		opts+=' --version --out --size --crash --hang --fail-test'
		args=()
		;;
	'sim device')
		subs=''
		opts+=' --image --block-size --window --watchdog --request-timeout --exit-after --once --fault --behaviour --factory-boot'
		args=('dir')
		;;
	'sim fleet')
		subs=''
		opts+=' --count --connect-window --image --block-size --window --watchdog --request-timeout --exit-after --once --fault --behaviour'
		args=('dir')
		;;
	'sim jwt-device')
		subs=''
		opts+=' --key --ca --project --host --port --location --registry --audience --lifetime --interval --renewals --exit-after --fault'
		args=('none')
		;;
	'sim psk-device')
		subs=''
		opts+=' --host --port --key --attestation-key --suites --count --interval --exit-after --fault'
		args=()
		;;
	'sim expresslink')
		subs=''
		opts+=' --link --state --broker-port --staging --spec --baud --exec-time --fault --seed --vendor-ca --vendor-key --root-ca --firmware --ssid --wifi-password-file --auto-accept --pem-prompt --exit-after'
		args=()
		;;
	'sim board')
		subs=''
		opts+=' --kind --link --state --baud --fault --seed --endpoint --firmware --exit-after'
		args=()
		;;
	'sim host')
		subs=''
		opts+=' --port --state --image --certificate --topic --interval --read-size --watchdog --exit-after --once --factory-boot'
		args=()
		;;
	'api')
		subs=''
		opts+=' --list --input --lines --body'
		args=('live operation' 'none +')
		;;
	'settings')
		subs='show set import'
		opts+=''
		args=()
		;;
	'settings show')
		subs=''
		opts+=' --origin'
		args=()
		;;
	'settings set')
		subs=''
		opts+=' --unset'
		args=('live setting' 'none')
		;;
	'settings import')
		subs=''
		opts+=' --replace'
		args=('file')
		;;
	'completion')
		subs=''
		opts+=''
		args=('words bash zsh fish')
		;;
	'version')
		subs=''
		opts+=''
		args=()
		;;
	esac
}

_iotctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} path='' pending='' ended='' word subs opts i count=0
	local -a args
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == '=' ]]; then
			continue
		elif [[ $pending ]]; then
			pending=''
		elif [[ ! $ended && $word == '--' ]]; then
			ended=1
		elif [[ ! $ended && $word == -?* ]]; then
			pending=$(_iotctl_value "$path" "$word")
		else
			_iotctl_node "$path"
			if [[ $subs && " $subs " == *" $word "* ]]; then
				path=${path:+$path }$word
			else
				count=$((count + 1))
			fi
		fi
	done
	_iotctl_node "$path"
	if [[ $pending ]]; then
		[[ $cur == '=' ]] && cur=''
		_iotctl_offer "$pending" "$cur"
	elif [[ ! $ended && $cur == -* ]]; then
		_iotctl_offer "words $opts" "$cur"
	elif [[ $subs ]]; then
		_iotctl_offer "words $subs" "$cur"
	elif ((count < ${#args[@]})); then
		_iotctl_offer "${args[count]}" "$cur"
	elif ((${#args[@]} > 0)) && [[ ${args[-1]} == *' +' ]]; then
		_iotctl_offer "${args[-1]% +}" "$cur"
	fi
}

complete -F _iotctl iotctl
