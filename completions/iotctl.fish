# fish completion for iotctl, generated from its command tree

# The command that has been typed so far: "device show".
function __iotctl_path
    set -l words (commandline -opc)
    set -l path
    set -l skip 0
    for word in $words[2..-1]
        if test $skip -eq 1
            set skip 0
            continue
        end
        switch $word
            case -o --output --query --profile --fleet --cloud --region --endpoint-url --aws-profile --color --progress
                set skip 1
            case '-*'
            case '*'
                if not contains -- (string join ' ' $path $word) 'init' 'serve' 'operator' 'operator create' 'operator rotate' 'operator revoke' 'operator list' 'operator show' 'backup' 'restore' 'doctor' 'device' 'device create' 'device list' 'device show' 'device update' 'device delete' 'device enable' 'device disable' 'device retire' 'device rotate' 'device trust' 'device trust update' 'device claim' 'device claims' 'device unclaim' 'type' 'type create' 'type list' 'type show' 'type deprecate' 'type delete' 'group' 'group create' 'group list' 'group show' 'group members' 'group add' 'group remove' 'group delete' 'policy' 'policy create' 'policy update' 'policy show' 'policy list' 'policy versions' 'policy delete' 'policy attach' 'policy detach' 'policy targets' 'policy lint' 'policy test' 'policy generate' 'cert' 'cert list' 'cert show' 'cert register' 'cert update' 'cert delete' 'ca' 'ca list' 'ca root' 'ca trust' 'ca distrust' 'board' 'board list' 'board probe' 'board kinds' 'board show' 'board image' 'provision' 'station' 'station run' 'station close' 'station report' 'station export' 'station verify' 'codesign' 'codesign create' 'codesign list' 'codesign public' 'codesign certificate' 'image' 'image sign' 'image verify' 'image inspect' 'ota' 'ota push' 'ota list' 'ota show' 'ota watch' 'ota cancel' 'ota doctor' 'ota gc' 'job' 'job create' 'job list' 'job show' 'job executions' 'job cancel' 'job cancel-one' 'job delete' 'stream' 'stream list' 'stream show' 'stream delete' 'publish' 'subscribe' 'command' 'command send' 'layout' 'layout list' 'layout show' 'layout check' 'layout add' 'layout use' 'layout topics' 'config' 'config set' 'config get' 'config list' 'config history' 'config diff' 'config rollback' 'config schema' 'config schema set' 'config schema show' 'shadow' 'shadow get' 'shadow update' 'shadow delete' 'shadow list' 'shadow watch' 'state' 'state list' 'state watch' 'events' 'events tail' 'events route' 'events route add' 'events route list' 'events route show' 'events route remove' 'events route check' 'gateway' 'gateway create' 'gateway add' 'gateway remove' 'gateway children' 'gateway export' 'gateway run' 'psk' 'psk create' 'psk list' 'psk show' 'psk rotate' 'psk revoke' 'psk delete' 'psk export' 'psk import' 'attest' 'attest verify' 'attest decode' 'attest policy' 'attest policy make' 'attest policy create' 'attest policy list' 'attest policy show' 'attest policy delete' 'attest policy assign' 'attest policy unassign' 'attest add-key' 'attest keys' 'attest remove-key' 'jwt' 'jwt create' 'jwt inspect' 'jwt verify' 'jwt add-key' 'jwt keys' 'jwt remove-key' 'sim' 'sim firmware' 'sim device' 'sim fleet' 'sim jwt-device' 'sim psk-device' 'sim expresslink' 'sim board' 'sim host' 'api' 'settings' 'settings show' 'settings set' 'settings import' 'completion' 'version'
                    break
                end
                set path $path $word
        end
    end
    string join ' ' $path
end

# Values that change: ask the program, which answers within 200 ms or not at all.
function __iotctl_live
    set -l words (commandline -opc)
    iotctl __complete $argv[1] (commandline -ct) $words[2..-1] 2>/dev/null
end

function __iotctl_at
    set -l path (__iotctl_path)
    test "$path" = "$argv[1]"
end

complete -c iotctl -f
complete -c iotctl -s o -l output -x -a 'table wide json jsonl csv' -d 'format of the result'
complete -c iotctl -l query -x -d 'filter the JSON result with a jq expression'
complete -c iotctl -l profile -x -a '(__iotctl_live profile)' -d 'profile of the settings files'
complete -c iotctl -l fleet -x -a '(__iotctl_live fleet)' -d 'fleet to work on: a name, or a folder if it has a slash'
complete -c iotctl -l cloud -x -a 'local aws' -d 'cloud to work on'
complete -c iotctl -l region -x -d 'AWS region'
complete -c iotctl -l endpoint-url -x -d 'send AWS operations there'
complete -c iotctl -l aws-profile -x -d 'profile of the AWS files'
complete -c iotctl -l color -x -a 'auto always never' -d 'colours'
complete -c iotctl -l progress -x -a 'auto bar plain json none' -d 'how progress is shown on stderr'
complete -c iotctl -s q -l quiet -d 'no notices and no progress, only warnings and errors'
complete -c iotctl -s v -l verbose -d 'say what is done; twice for details'
complete -c iotctl -l no-input -d 'never ask, fail instead'
complete -c iotctl -s h -l help -d 'show help; with -o json, describe the command as JSON'
complete -c iotctl -s V -l version -d 'show the version'

complete -c iotctl -n "__iotctl_at ''" -a init -d 'Make a fleet: registry, CA, code-signing key, device policy'
complete -c iotctl -n "__iotctl_at ''" -a serve -d 'Run the local cloud: broker, jobs, file streams'
complete -c iotctl -n "__iotctl_at ''" -a operator -d 'People and CI jobs with rights on the fleet'
complete -c iotctl -n "__iotctl_at ''" -a backup -d 'Copy a fleet, also while it is in use'
complete -c iotctl -n "__iotctl_at ''" -a restore -d 'Make a fleet from a backup'
complete -c iotctl -n "__iotctl_at ''" -a doctor -d 'Look for what is wrong with the fleet and this machine'
complete -c iotctl -n "__iotctl_at ''" -a device -d 'Devices: things with their keys, certificates, rights'
complete -c iotctl -n "__iotctl_at ''" -a type -d 'Thing types'
complete -c iotctl -n "__iotctl_at ''" -a group -d 'Thing groups'
complete -c iotctl -n "__iotctl_at ''" -a policy -d 'What devices may do'
complete -c iotctl -n "__iotctl_at ''" -a cert -d 'Device certificates'
complete -c iotctl -n "__iotctl_at ''" -a ca -d 'Certification authorities'
complete -c iotctl -n "__iotctl_at ''" -a board -d 'Boards: on which ports they are, who they are, and what kinds there are'
complete -c iotctl -n "__iotctl_at ''" -a provision -d 'Make the board on a port a device of the fleet'
complete -c iotctl -n "__iotctl_at ''" -a station -d 'A place on a factory line'
complete -c iotctl -n "__iotctl_at ''" -a codesign -d 'Keys that firmware is signed with'
complete -c iotctl -n "__iotctl_at ''" -a image -d 'Firmware images: sign, verify, inspect'
complete -c iotctl -n "__iotctl_at ''" -a ota -d 'Signed over-the-air updates'
complete -c iotctl -n "__iotctl_at ''" -a job -d 'Jobs: what devices are asked to do'
complete -c iotctl -n "__iotctl_at ''" -a stream -d 'File streams: what devices download from'
complete -c iotctl -n "__iotctl_at ''" -a publish -d 'Publish messages'
complete -c iotctl -n "__iotctl_at ''" -a subscribe -d 'Print messages as they arrive'
complete -c iotctl -n "__iotctl_at ''" -a command -d 'Commands to devices, and their answers'
complete -c iotctl -n "__iotctl_at ''" -a layout -d 'Which topics carry configuration, commands, events and state'
complete -c iotctl -n "__iotctl_at ''" -a config -d 'Configurations of devices, by version'
complete -c iotctl -n "__iotctl_at ''" -a shadow -d 'Device shadows: desired and reported state'
complete -c iotctl -n "__iotctl_at ''" -a state -d 'What devices report of themselves, lately and now'
complete -c iotctl -n "__iotctl_at ''" -a events -d 'What happens in the fleet, and where events of devices go'
complete -c iotctl -n "__iotctl_at ''" -a gateway -d 'Gateways for devices that are too small for certificates'
complete -c iotctl -n "__iotctl_at ''" -a psk -d 'Secrets shared with devices that are too small for certificates'
complete -c iotctl -n "__iotctl_at ''" -a attest -d 'Attestation tokens of PSA devices'
complete -c iotctl -n "__iotctl_at ''" -a jwt -d 'Tokens of devices that were made for JWT clouds'
complete -c iotctl -n "__iotctl_at ''" -a sim -d 'Software devices, and firmware for them'
complete -c iotctl -n "__iotctl_at ''" -a api -d 'Call one operation of the cloud by its name'
complete -c iotctl -n "__iotctl_at ''" -a settings -d 'The tool\'s own settings and profiles'
complete -c iotctl -n "__iotctl_at ''" -a completion -d 'Print the completion script for a shell'
complete -c iotctl -n "__iotctl_at ''" -a version -d 'Show the version'

complete -c iotctl -n "__iotctl_at 'init'" -l endpoint -x -d 'host name or address that devices use'
complete -c iotctl -n "__iotctl_at 'init'" -l port -x -d 'port that devices use'
complete -c iotctl -n "__iotctl_at 'init'" -l directory -x -a '(__fish_complete_directories (commandline -ct))' -d 'where, instead of the user\'s data folder'
complete -c iotctl -n "__iotctl_at 'init'" -l ca-key -r -F -d 'key of the issuing CA: a file or a pkcs11: URI'
complete -c iotctl -n "__iotctl_at 'init'" -l keep-default -d 'do not make it the default fleet'

complete -c iotctl -n "__iotctl_at 'serve'" -s d -l detach -d 'return when it listens, go on in the background'
complete -c iotctl -n "__iotctl_at 'serve'" -l stop -d 'stop the one that runs'
complete -c iotctl -n "__iotctl_at 'serve'" -l status -d 'show the one that runs; exit code 3 when none does'
complete -c iotctl -n "__iotctl_at 'serve'" -l listen -x -d 'address for devices'
complete -c iotctl -n "__iotctl_at 'serve'" -l port -x -d 'port for devices; kept, new device folders name it'
complete -c iotctl -n "__iotctl_at 'serve'" -l staging-port -x -d 'port for modules that know no fleet yet; 0: none; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l psk-port -x -d 'port for devices with a shared secret (TLS-PSK); 0: none; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l jwt-port -x -d 'port for devices that show tokens (JWT); 0: none; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l project -x -d 'whom tokens are made for; at first the fleet\'s name; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l token-skew -x -d 'by how much the clocks of such devices may be wrong; at first 10m; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l api-port -x -d 'port of the HTTPS API, as 8443; 0: none; kept'
complete -c iotctl -n "__iotctl_at 'serve'" -l api-listen -x -d 'address of the HTTPS API; kept; that of --listen if it was never given'
complete -c iotctl -n "__iotctl_at 'serve'" -l plugin -r -F -d 'the broker plugin, if it is elsewhere'
complete -c iotctl -n "__iotctl_at 'serve'" -l mosquitto -r -F -d 'the broker, if it is elsewhere'

complete -c iotctl -n "__iotctl_at 'operator'" -a create -d 'Give a person or a CI job rights on the fleet from elsewhere'
complete -c iotctl -n "__iotctl_at 'operator'" -a rotate -d 'Make new keys for an operator; the old ones end at once'
complete -c iotctl -n "__iotctl_at 'operator'" -a revoke -d 'Lock an operator out at once'
complete -c iotctl -n "__iotctl_at 'operator'" -a list -d 'List the operators'
complete -c iotctl -n "__iotctl_at 'operator'" -a show -d 'Show an operator and its policies'

complete -c iotctl -n "__iotctl_at 'operator create'" -l role -x -a 'admin deploy observe' -d 'what it may do'
complete -c iotctl -n "__iotctl_at 'operator create'" -l policy -r -F -d 'or a policy document'
complete -c iotctl -n "__iotctl_at 'operator create'" -l expires -x -d 'its keys are good for so long, at most ten years'
complete -c iotctl -n "__iotctl_at 'operator create'" -l api-url -x -d 'address of the HTTPS API, if it is another than the fleet\'s own'
complete -c iotctl -n "__iotctl_at 'operator create'" -l out -r -F -d 'profile file to write; else NAME.profile'

complete -c iotctl -n "__iotctl_at 'operator rotate'" -l expires -x -d 'its keys are good for so long, at most ten years'
complete -c iotctl -n "__iotctl_at 'operator rotate'" -l api-url -x -d 'address of the HTTPS API, if it is another than the fleet\'s own'
complete -c iotctl -n "__iotctl_at 'operator rotate'" -l out -r -F -d 'profile file to write; else NAME.profile'




complete -c iotctl -n "__iotctl_at 'backup'" -x -a '(__fish_complete_directories (commandline -ct))'

complete -c iotctl -n "__iotctl_at 'restore'" -x -a '(__fish_complete_directories (commandline -ct))'


complete -c iotctl -n "__iotctl_at 'device'" -a create -d 'Ensure a device: thing, key, certificate, policy'
complete -c iotctl -n "__iotctl_at 'device'" -a list -d 'List devices'
complete -c iotctl -n "__iotctl_at 'device'" -a show -d 'Show all that is known of a device'
complete -c iotctl -n "__iotctl_at 'device'" -a update -d 'Change a device\'s type, alias, attributes, groups'
complete -c iotctl -n "__iotctl_at 'device'" -a delete -d 'Delete a device with its certificates'
complete -c iotctl -n "__iotctl_at 'device'" -a enable -d 'Let a device connect again'
complete -c iotctl -n "__iotctl_at 'device'" -a disable -d 'Keep a device out; a live connection ends within a second'
complete -c iotctl -n "__iotctl_at 'device'" -a retire -d 'Delete a device with all that speaks for it or of it'
complete -c iotctl -n "__iotctl_at 'device'" -a rotate -d 'Renew a device\'s key and certificate'
complete -c iotctl -n "__iotctl_at 'device'" -a trust -d 'Endpoint and root CA of devices'
complete -c iotctl -n "__iotctl_at 'device'" -a claim -d 'Let a module become a device when it first shows up'
complete -c iotctl -n "__iotctl_at 'device'" -a claims -d 'List claims that no module has answered yet'
complete -c iotctl -n "__iotctl_at 'device'" -a unclaim -d 'Take back a claim that no module has answered yet'

complete -c iotctl -n "__iotctl_at 'device create'" -l alias -x -d 'second name, unique in the fleet'
complete -c iotctl -n "__iotctl_at 'device create'" -s t -l type -x -a '(__iotctl_live type)' -d 'thing type; made when it is new'
complete -c iotctl -n "__iotctl_at 'device create'" -s g -l group -x -a '(__iotctl_live group)' -d 'join this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'device create'" -s a -l attribute -x -d 'attribute; may be repeated'
complete -c iotctl -n "__iotctl_at 'device create'" -s p -l policy -x -a '(__iotctl_live policy)' -d 'attach this policy to its certificate; may be repeated'
complete -c iotctl -n "__iotctl_at 'device create'" -l out -x -a '(__fish_complete_directories (commandline -ct))' -d 'folder for key and certificate'
complete -c iotctl -n "__iotctl_at 'device create'" -l csr -r -F -d 'certificate request made on the board'
complete -c iotctl -n "__iotctl_at 'device create'" -l days -x -d 'validity of the certificate'
complete -c iotctl -n "__iotctl_at 'device create'" -l issuer -x -a 'auto fleet aws' -d 'at AWS: whose CA makes the certificate; auto: that of the fleet folder, where there is one'
complete -c iotctl -n "__iotctl_at 'device create'" -l from -r -F -d 'make what this CSV file lists'
complete -c iotctl -n "__iotctl_at 'device create'" -l resume -r -F -d 'with --from: journal of the rows that had their result'
complete -c iotctl -n "__iotctl_at 'device create'" -l retry-failed -d 'with --resume: try those again that failed'
complete -c iotctl -n "__iotctl_at 'device create'" -l max-failures -x -d 'with --from: end when so many have failed (exit code 7)'
complete -c iotctl -n "__iotctl_at 'device create'" -l update -d 'change a device that exists with another spec'

complete -c iotctl -n "__iotctl_at 'device list'" -s t -l type -x -a '(__iotctl_live type)' -d 'only of this type'
complete -c iotctl -n "__iotctl_at 'device list'" -s g -l group -x -a '(__iotctl_live group)' -d 'only in this group or below it'
complete -c iotctl -n "__iotctl_at 'device list'" -s a -l attribute -x -d 'only with this attribute'
complete -c iotctl -n "__iotctl_at 'device list'" -l limit -x -d 'stop after so many'

complete -c iotctl -n "__iotctl_at 'device show'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device update'" -l alias -x -d 'second name, unique in the fleet'
complete -c iotctl -n "__iotctl_at 'device update'" -s t -l type -x -a '(__iotctl_live type)' -d 'thing type; made when it is new'
complete -c iotctl -n "__iotctl_at 'device update'" -s g -l group -x -a '(__iotctl_live group)' -d 'join this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'device update'" -s a -l attribute -x -d 'attribute; may be repeated'
complete -c iotctl -n "__iotctl_at 'device update'" -l from -r -F -d 'update what this CSV file lists'
complete -c iotctl -n "__iotctl_at 'device update'" -l resume -r -F -d 'with --from: journal of the rows that had their result'
complete -c iotctl -n "__iotctl_at 'device update'" -l retry-failed -d 'with --resume: try those again that failed'
complete -c iotctl -n "__iotctl_at 'device update'" -l max-failures -x -d 'with --from: end when so many have failed (exit code 7)'
complete -c iotctl -n "__iotctl_at 'device update'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device delete'" -s y -l yes -d 'do not ask'
complete -c iotctl -n "__iotctl_at 'device delete'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device enable'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device disable'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device retire'" -s y -l yes -d 'do not ask'
complete -c iotctl -n "__iotctl_at 'device retire'" -s n -l dry-run -d 'only list the calls'
complete -c iotctl -n "__iotctl_at 'device retire'" -l from -r -F -d 'retire what this CSV file lists'
complete -c iotctl -n "__iotctl_at 'device retire'" -l resume -r -F -d 'with --from: journal of the rows that had their result'
complete -c iotctl -n "__iotctl_at 'device retire'" -l retry-failed -d 'with --resume: try those again that failed'
complete -c iotctl -n "__iotctl_at 'device retire'" -l max-failures -x -d 'with --from: end when so many have failed (exit code 7)'
complete -c iotctl -n "__iotctl_at 'device retire'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device rotate'" -l out -x -a '(__fish_complete_directories (commandline -ct))' -d 'new folder for key and certificate'
complete -c iotctl -n "__iotctl_at 'device rotate'" -l csr -r -F -d 'certificate request made on the board'
complete -c iotctl -n "__iotctl_at 'device rotate'" -l days -x -d 'validity of the certificate'
complete -c iotctl -n "__iotctl_at 'device rotate'" -l timeout -x -d 'with --finish at AWS: how long the device may take to come back'
complete -c iotctl -n "__iotctl_at 'device rotate'" -l finish -d 'delete the old certificates'
complete -c iotctl -n "__iotctl_at 'device rotate'" -l force -d 'with --finish: although the device was not seen with the new one'
complete -c iotctl -n "__iotctl_at 'device rotate'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device trust'" -a update -d 'Give devices another endpoint or root CA, and take it back where it fails'

complete -c iotctl -n "__iotctl_at 'device trust update'" -l endpoint -x -d 'where to connect from now on'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l root-ca -r -F -d 'certificate (PEM) to check the broker with'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l new-fleet -x -a '(__iotctl_live fleet)' -d 'the fleet that answers there: its endpoint and root CA'
complete -c iotctl -n "__iotctl_at 'device trust update'" -s g -l group -x -a '(__iotctl_live group)' -d 'the devices of this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'device trust update'" -s b -l board -x -a '(__iotctl_live board)' -d 'kind of the board on --port, or its description'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l port -x -a '(__iotctl_live port)' -d 'a board on this serial port'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l baud -x -d 'speed of the port; else the description\'s'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l pulse -x -a 'none dtr rts' -d 'reset the board by this line first'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l transcript -r -F -d 'append all that is said on the port'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l old-root-ca -r -F -d 'the one a board holds now, if not the fleet\'s'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l connect-timeout -x -d 'how long a board may take to connect'
complete -c iotctl -n "__iotctl_at 'device trust update'" -s w -l wait -d 'until all devices have ended it'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l timeout -x -d 'with --wait: stop watching after this, 0: when it has ended'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l max-failures -x -d 'with --wait: cancel the rest when so many failed'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l resume -r -F -d 'journal: the same call finds its jobs again'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l id -x -d 'of the jobs; else made of the time'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l device-timeout -x -d 'a device that takes longer is timed out'
complete -c iotctl -n "__iotctl_at 'device trust update'" -l per-minute -x -d 'at most so many devices a minute'
complete -c iotctl -n "__iotctl_at 'device trust update'" -s f -l force -d 'do not look whether devices will believe the endpoint'
complete -c iotctl -n "__iotctl_at 'device trust update'" -s n -l dry-run -d 'look and check, change nothing'
complete -c iotctl -n "__iotctl_at 'device trust update'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'device claim'" -l name -x -d 'second name, unique in the fleet'
complete -c iotctl -n "__iotctl_at 'device claim'" -s t -l type -x -a '(__iotctl_live type)' -d 'thing type; made when it is new'
complete -c iotctl -n "__iotctl_at 'device claim'" -s p -l policy -x -a '(__iotctl_live policy)' -d 'policy of its certificate, may be repeated; else \'device\''
complete -c iotctl -n "__iotctl_at 'device claim'" -s g -l group -x -a '(__iotctl_live group)' -d 'join this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'device claim'" -l certificate -x -d 'only with the certificate of this fingerprint'
complete -c iotctl -n "__iotctl_at 'device claim'" -l from -r -F -d 'claim what this CSV file lists'
complete -c iotctl -n "__iotctl_at 'device claim'" -l update -d 'change a claim that has other properties'



complete -c iotctl -n "__iotctl_at 'type'" -a create -d 'Make a thing type'
complete -c iotctl -n "__iotctl_at 'type'" -a list -d 'List thing types'
complete -c iotctl -n "__iotctl_at 'type'" -a show -d 'Show a thing type'
complete -c iotctl -n "__iotctl_at 'type'" -a deprecate -d 'Let no new device have this type'
complete -c iotctl -n "__iotctl_at 'type'" -a delete -d 'Delete a deprecated thing type that no device has'

complete -c iotctl -n "__iotctl_at 'type create'" -l description -x -d 'what it is'
complete -c iotctl -n "__iotctl_at 'type create'" -x -a '(__iotctl_live type)'


complete -c iotctl -n "__iotctl_at 'type show'" -x -a '(__iotctl_live type)'

complete -c iotctl -n "__iotctl_at 'type deprecate'" -l undo -d 'allow it again'
complete -c iotctl -n "__iotctl_at 'type deprecate'" -x -a '(__iotctl_live type)'

complete -c iotctl -n "__iotctl_at 'type delete'" -x -a '(__iotctl_live type)'

complete -c iotctl -n "__iotctl_at 'group'" -a create -d 'Make a group'
complete -c iotctl -n "__iotctl_at 'group'" -a list -d 'List groups'
complete -c iotctl -n "__iotctl_at 'group'" -a show -d 'Show a group'
complete -c iotctl -n "__iotctl_at 'group'" -a members -d 'List the devices of a group and of those below it'
complete -c iotctl -n "__iotctl_at 'group'" -a add -d 'Put devices into a group'
complete -c iotctl -n "__iotctl_at 'group'" -a remove -d 'Take devices out of a group'
complete -c iotctl -n "__iotctl_at 'group'" -a delete -d 'Delete a group; its devices stay'

complete -c iotctl -n "__iotctl_at 'group create'" -l parent -x -a '(__iotctl_live group)' -d 'group above it'
complete -c iotctl -n "__iotctl_at 'group create'" -l description -x -d 'what it is'
complete -c iotctl -n "__iotctl_at 'group create'" -l dynamic -x -d 'at AWS: filled by this query of the fleet index'
complete -c iotctl -n "__iotctl_at 'group create'" -x -a '(__iotctl_live group)'

complete -c iotctl -n "__iotctl_at 'group list'" -l parent -x -a '(__iotctl_live group)' -d 'only below this one'

complete -c iotctl -n "__iotctl_at 'group show'" -x -a '(__iotctl_live group)'

complete -c iotctl -n "__iotctl_at 'group members'" -l direct -d 'not of those below it'
complete -c iotctl -n "__iotctl_at 'group members'" -x -a '(__iotctl_live group)'

complete -c iotctl -n "__iotctl_at 'group add'" -x -a '(__iotctl_live group)'
complete -c iotctl -n "__iotctl_at 'group add'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'group remove'" -x -a '(__iotctl_live group)'
complete -c iotctl -n "__iotctl_at 'group remove'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'group delete'" -x -a '(__iotctl_live group)'

complete -c iotctl -n "__iotctl_at 'policy'" -a create -d 'Make a policy from a document'
complete -c iotctl -n "__iotctl_at 'policy'" -a update -d 'Give a policy a new version, at once in force'
complete -c iotctl -n "__iotctl_at 'policy'" -a show -d 'Print a policy\'s document'
complete -c iotctl -n "__iotctl_at 'policy'" -a list -d 'List policies'
complete -c iotctl -n "__iotctl_at 'policy'" -a versions -d 'List the versions of a policy'
complete -c iotctl -n "__iotctl_at 'policy'" -a delete -d 'Delete a policy that is attached to nothing, or one version'
complete -c iotctl -n "__iotctl_at 'policy'" -a attach -d 'Attach a policy to a device\'s certificates or to a group'
complete -c iotctl -n "__iotctl_at 'policy'" -a detach -d 'Detach a policy; live connections feel it within a second'
complete -c iotctl -n "__iotctl_at 'policy'" -a targets -d 'List what a policy is attached to'
complete -c iotctl -n "__iotctl_at 'policy'" -a lint -d 'Say what is wrong or risky in a policy document'
complete -c iotctl -n "__iotctl_at 'policy'" -a test -d 'Ask what a device may do'
complete -c iotctl -n "__iotctl_at 'policy'" -a generate -d 'Print the least-privilege policy that a layout asks for'

complete -c iotctl -n "__iotctl_at 'policy create'" -x -a '(__iotctl_live policy)'
complete -c iotctl -n "__iotctl_at 'policy create'" -r -F

complete -c iotctl -n "__iotctl_at 'policy update'" -x -a '(__iotctl_live policy)'
complete -c iotctl -n "__iotctl_at 'policy update'" -r -F

complete -c iotctl -n "__iotctl_at 'policy show'" -l version -x -d 'this version, not the default one'
complete -c iotctl -n "__iotctl_at 'policy show'" -x -a '(__iotctl_live policy)'


complete -c iotctl -n "__iotctl_at 'policy versions'" -x -a '(__iotctl_live policy)'

complete -c iotctl -n "__iotctl_at 'policy delete'" -l version -x -d 'only this version'
complete -c iotctl -n "__iotctl_at 'policy delete'" -x -a '(__iotctl_live policy)'

complete -c iotctl -n "__iotctl_at 'policy attach'" -l to -x -a '(__iotctl_live device)' -d 'the certificates of this device'
complete -c iotctl -n "__iotctl_at 'policy attach'" -s g -l group -x -a '(__iotctl_live group)' -d 'this group'
complete -c iotctl -n "__iotctl_at 'policy attach'" -l from -r -F -d 'attach it to the devices of this CSV file'
complete -c iotctl -n "__iotctl_at 'policy attach'" -l resume -r -F -d 'with --from: journal of the rows that had their result'
complete -c iotctl -n "__iotctl_at 'policy attach'" -l retry-failed -d 'with --resume: try those again that failed'
complete -c iotctl -n "__iotctl_at 'policy attach'" -l max-failures -x -d 'with --from: end when so many have failed (exit code 7)'
complete -c iotctl -n "__iotctl_at 'policy attach'" -x -a '(__iotctl_live policy)'

complete -c iotctl -n "__iotctl_at 'policy detach'" -l to -x -a '(__iotctl_live device)' -d 'the certificates of this device'
complete -c iotctl -n "__iotctl_at 'policy detach'" -s g -l group -x -a '(__iotctl_live group)' -d 'this group'
complete -c iotctl -n "__iotctl_at 'policy detach'" -x -a '(__iotctl_live policy)'

complete -c iotctl -n "__iotctl_at 'policy targets'" -x -a '(__iotctl_live policy)'

complete -c iotctl -n "__iotctl_at 'policy lint'" -l strict -d 'exit code 11 when anything was found'
complete -c iotctl -n "__iotctl_at 'policy lint'" -r -F

complete -c iotctl -n "__iotctl_at 'policy test'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'policy generate'" -l layout -r -F -d 'name of a layout, or a file; default: that of the type'
complete -c iotctl -n "__iotctl_at 'policy generate'" -l type -x -a '(__iotctl_live type)' -d 'for devices of this thing type'
complete -c iotctl -n "__iotctl_at 'policy generate'" -l no-services -d 'without jobs, streams and shadows'

complete -c iotctl -n "__iotctl_at 'cert'" -a list -d 'List certificates'
complete -c iotctl -n "__iotctl_at 'cert'" -a show -d 'Show a certificate, its policies and devices'
complete -c iotctl -n "__iotctl_at 'cert'" -a register -d 'Register a certificate that was made elsewhere'
complete -c iotctl -n "__iotctl_at 'cert'" -a update -d 'Change a certificate\'s status'
complete -c iotctl -n "__iotctl_at 'cert'" -a delete -d 'Delete a certificate that is not active'


complete -c iotctl -n "__iotctl_at 'cert show'" -x -a '(__iotctl_live cert)'

complete -c iotctl -n "__iotctl_at 'cert register'" -l without-ca -d 'trust this one certificate, not its CA'
complete -c iotctl -n "__iotctl_at 'cert register'" -r -F

complete -c iotctl -n "__iotctl_at 'cert update'" -x -a '(__iotctl_live cert)'
complete -c iotctl -n "__iotctl_at 'cert update'" -x -a 'ACTIVE INACTIVE REVOKED'

complete -c iotctl -n "__iotctl_at 'cert delete'" -s f -l force -d 'also if policies are attached to it'
complete -c iotctl -n "__iotctl_at 'cert delete'" -x -a '(__iotctl_live cert)'

complete -c iotctl -n "__iotctl_at 'ca'" -a list -d 'List the CAs that devices\' certificates may come from'
complete -c iotctl -n "__iotctl_at 'ca'" -a root -d 'Print the fleet\'s root certificate'
complete -c iotctl -n "__iotctl_at 'ca'" -a trust -d 'Trust a vendor\'s CA, for modules born with its certificates'
complete -c iotctl -n "__iotctl_at 'ca'" -a distrust -d 'No longer trust a vendor\'s CA'



complete -c iotctl -n "__iotctl_at 'ca trust'" -r -F


complete -c iotctl -n "__iotctl_at 'board'" -a list -d 'List the serial ports of this machine'
complete -c iotctl -n "__iotctl_at 'board'" -a probe -d 'Ask a board who it is; changes nothing'
complete -c iotctl -n "__iotctl_at 'board'" -a kinds -d 'List the kinds of boards whose descriptions come with the program'
complete -c iotctl -n "__iotctl_at 'board'" -a show -d 'Check a description of a board and show what it says'
complete -c iotctl -n "__iotctl_at 'board'" -a image -d 'Make an image of a device\'s credentials, for its board\'s flash'


complete -c iotctl -n "__iotctl_at 'board probe'" -s b -l board -x -a '(__iotctl_live board)' -d 'kind of board, or a description of your own'
complete -c iotctl -n "__iotctl_at 'board probe'" -l port -x -a '(__iotctl_live port)' -d 'serial port, or debug probe NAME[:PORT]'
complete -c iotctl -n "__iotctl_at 'board probe'" -l baud -x -d 'its speed; else the description\'s'
complete -c iotctl -n "__iotctl_at 'board probe'" -l pulse -x -a 'none dtr rts' -d 'reset the board by this line first'
complete -c iotctl -n "__iotctl_at 'board probe'" -l transcript -r -F -d 'append all that is said to this file, secrets left out'


complete -c iotctl -n "__iotctl_at 'board show'" -x -a '(__iotctl_live board)'

complete -c iotctl -n "__iotctl_at 'board image'" -s F -l format -x -a 'iotc pkcs11 pkcs11-stm32f4 esp-secure-cert' -d 'layout of the image'
complete -c iotctl -n "__iotctl_at 'board image'" -l part -x -d 'of iotc: credentials or codesign; of pkcs11-stm32f4: certificate, key or codesign'
complete -c iotctl -n "__iotctl_at 'board image'" -x -a '(__fish_complete_directories (commandline -ct))'
complete -c iotctl -n "__iotctl_at 'board image'" -r -F

complete -c iotctl -n "__iotctl_at 'provision'" -s b -l board -x -a '(__iotctl_live board)' -d 'kind of board, or a description of your own'
complete -c iotctl -n "__iotctl_at 'provision'" -l port -x -a '(__iotctl_live port)' -d 'serial port, or debug probe NAME[:PORT]'
complete -c iotctl -n "__iotctl_at 'provision'" -l baud -x -d 'its speed; else the description\'s'
complete -c iotctl -n "__iotctl_at 'provision'" -l pulse -x -a 'none dtr rts' -d 'reset the board by this line first'
complete -c iotctl -n "__iotctl_at 'provision'" -l transcript -r -F -d 'append all that is said to this file, secrets left out'
complete -c iotctl -n "__iotctl_at 'provision'" -s n -l name -x -d 'its name; of a module that is named by its UID, its alias'
complete -c iotctl -n "__iotctl_at 'provision'" -l serial -x -d 'serial number of the product, unique'
complete -c iotctl -n "__iotctl_at 'provision'" -s t -l type -x -a '(__iotctl_live type)' -d 'thing type; made when it is new'
complete -c iotctl -n "__iotctl_at 'provision'" -s p -l policy -x -a '(__iotctl_live policy)' -d 'policy to attach; \'device\' if none is given'
complete -c iotctl -n "__iotctl_at 'provision'" -s g -l group -x -a '(__iotctl_live group)' -d 'join this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'provision'" -l endpoint -x -d 'where it connects, in place of the fleet\'s endpoint: a gateway'
complete -c iotctl -n "__iotctl_at 'provision'" -l endpoint-port -x -d 'port there; the fleet\'s, or that of \'serve --psk-port\', if it is not given'
complete -c iotctl -n "__iotctl_at 'provision'" -l wifi-ssid -x -d 'Wi-Fi network to join'
complete -c iotctl -n "__iotctl_at 'provision'" -l wifi-password-file -r -F -d 'private file whose first line is its password'
complete -c iotctl -n "__iotctl_at 'provision'" -l apn -x -d 'access point of a cellular module'
complete -c iotctl -n "__iotctl_at 'provision'" -l codesign -x -a '(__iotctl_live key)' -d 'code-signing key it checks updates with'
complete -c iotctl -n "__iotctl_at 'provision'" -l issuer -x -a 'auto fleet aws' -d 'at AWS: whose CA makes the certificate; auto: that of the fleet folder, where there is one'
complete -c iotctl -n "__iotctl_at 'provision'" -l connect-timeout -x -d 'how long it may take to connect'
complete -c iotctl -n "__iotctl_at 'provision'" -l replace -d 'take over a board of another fleet, or flash that holds something else; change its device'
complete -c iotctl -n "__iotctl_at 'provision'" -l lock -x -a 'none reversible permanent' -d 'put on the locks of its description, once it is proved'
complete -c iotctl -n "__iotctl_at 'provision'" -l lock-also -x -d 'with --lock: this optional lock too; may be repeated'
complete -c iotctl -n "__iotctl_at 'provision'" -l yes-irreversible -d 'do not ask before what nothing takes off again'

complete -c iotctl -n "__iotctl_at 'station'" -a run -d 'Provision one board after another on several ports'
complete -c iotctl -n "__iotctl_at 'station'" -a close -d 'Close and sign a shift that was left open'
complete -c iotctl -n "__iotctl_at 'station'" -a report -d 'Yield, times and faults of a shift'
complete -c iotctl -n "__iotctl_at 'station'" -a export -d 'The boards of a shift, one row each'
complete -c iotctl -n "__iotctl_at 'station'" -a verify -d 'Check the record of a shift, offline'

complete -c iotctl -n "__iotctl_at 'station run'" -l port -x -a '(__iotctl_live port)' -d 'a serial port, or a pattern of such; may be repeated'
complete -c iotctl -n "__iotctl_at 'station run'" -l station -x -d 'name of the station; else that of the machine'
complete -c iotctl -n "__iotctl_at 'station run'" -l start -x -a 'plug scan swap' -d 'when the next board begins'
complete -c iotctl -n "__iotctl_at 'station run'" -l serials -r -F -d 'serial numbers, one a line'
complete -c iotctl -n "__iotctl_at 'station run'" -l range -x -d 'serial numbers, as PUMP-0001..0999'
complete -c iotctl -n "__iotctl_at 'station run'" -l no-serials -d 'boards get no serial numbers'
complete -c iotctl -n "__iotctl_at 'station run'" -s n -l count -x -d 'end when so many boards passed or failed, those done before not counted; 0: no limit'
complete -c iotctl -n "__iotctl_at 'station run'" -l labels -x -a '(__fish_complete_directories (commandline -ct))' -d 'put labels there'
complete -c iotctl -n "__iotctl_at 'station run'" -l issuer -x -a 'auto fleet aws' -d 'at AWS: whose CA makes the certificate; auto: that of the fleet folder, where there is one'
complete -c iotctl -n "__iotctl_at 'station run'" -l replace -d 'do boards again that have an identity'
complete -c iotctl -n "__iotctl_at 'station run'" -l screen -d 'the operator\'s screen, on a terminal'
complete -c iotctl -n "__iotctl_at 'station run'" -l no-screen -d 'the opposite of --screen'
complete -c iotctl -n "__iotctl_at 'station run'" -r -F

complete -c iotctl -n "__iotctl_at 'station close'" -l station -x -d 'name of the station; else that of the machine'

complete -c iotctl -n "__iotctl_at 'station report'" -l station -x -d 'name of the station; else that of the machine'
complete -c iotctl -n "__iotctl_at 'station report'" -l shift -x -d 'which shift; else the newest'

complete -c iotctl -n "__iotctl_at 'station export'" -l station -x -d 'name of the station; else that of the machine'
complete -c iotctl -n "__iotctl_at 'station export'" -l shift -x -d 'which shift; else the newest'

complete -c iotctl -n "__iotctl_at 'station verify'" -s k -l key -r -F -d 'public key of the station; else station.pub beside the record'
complete -c iotctl -n "__iotctl_at 'station verify'" -l open -d 'the last one may be a shift that is still open'
complete -c iotctl -n "__iotctl_at 'station verify'" -r -F

complete -c iotctl -n "__iotctl_at 'codesign'" -a create -d 'Make a code-signing key'
complete -c iotctl -n "__iotctl_at 'codesign'" -a list -d 'List the fleet\'s code-signing keys'
complete -c iotctl -n "__iotctl_at 'codesign'" -a public -d 'Print a public key as PEM, for a bootloader or a board'
complete -c iotctl -n "__iotctl_at 'codesign'" -a certificate -d 'Print a key\'s self-signed certificate as PEM, for boards that want one'

complete -c iotctl -n "__iotctl_at 'codesign create'" -s t -l type -x -a 'p256 rsa2048 rsa3072' -d 'kind of key'


complete -c iotctl -n "__iotctl_at 'codesign public'" -x -a '(__iotctl_live key)'

complete -c iotctl -n "__iotctl_at 'codesign certificate'" -x -a '(__iotctl_live key)'

complete -c iotctl -n "__iotctl_at 'image'" -a sign -d 'Sign an image; the signature goes into IMAGE.sig.json'
complete -c iotctl -n "__iotctl_at 'image'" -a verify -d 'Check an image against its signature and a public key'
complete -c iotctl -n "__iotctl_at 'image'" -a inspect -d 'Show what an image is'

complete -c iotctl -n "__iotctl_at 'image sign'" -s k -l key -x -a '(__iotctl_live key)' -d 'code-signing key: name, file or pkcs11: URI'
complete -c iotctl -n "__iotctl_at 'image sign'" -l scheme -x -a 'sig-sha256-ecdsa sig-sha256-rsa sig-sha1-rsa' -d 'how; by default what fits the key'
complete -c iotctl -n "__iotctl_at 'image sign'" -l signature -r -F -d 'where the signature goes'
complete -c iotctl -n "__iotctl_at 'image sign'" -l allow-legacy -d 'allow SHA-1 signatures, for parts that know no other'
complete -c iotctl -n "__iotctl_at 'image sign'" -r -F

complete -c iotctl -n "__iotctl_at 'image verify'" -s k -l key -r -F -d 'public key or certificate; by default the fleet\'s'
complete -c iotctl -n "__iotctl_at 'image verify'" -l signature -r -F -d 'the signature file'
complete -c iotctl -n "__iotctl_at 'image verify'" -l allow-legacy -d 'allow SHA-1 signatures, for parts that know no other'
complete -c iotctl -n "__iotctl_at 'image verify'" -r -F

complete -c iotctl -n "__iotctl_at 'image inspect'" -r -F

complete -c iotctl -n "__iotctl_at 'ota'" -a push -d 'Sign an image and send it to devices'
complete -c iotctl -n "__iotctl_at 'ota'" -a list -d 'List updates'
complete -c iotctl -n "__iotctl_at 'ota'" -a show -d 'Show an update device by device'
complete -c iotctl -n "__iotctl_at 'ota'" -a watch -d 'Follow an update to its end'
complete -c iotctl -n "__iotctl_at 'ota'" -a cancel -d 'End an update for the devices that have not begun it'
complete -c iotctl -n "__iotctl_at 'ota'" -a doctor -d 'Say why devices have not ended an update'
complete -c iotctl -n "__iotctl_at 'ota'" -a gc -d 'Delete the streams of updates that are over'

complete -c iotctl -n "__iotctl_at 'ota push'" -l to -x -a '(__iotctl_live device)' -d 'to this device; may be repeated'
complete -c iotctl -n "__iotctl_at 'ota push'" -s g -l group -x -a '(__iotctl_live group)' -d 'to the devices of this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'ota push'" -l version -x -d 'of the image, if it does not say itself'
complete -c iotctl -n "__iotctl_at 'ota push'" -l kind -x -a 'firmware host module module-cert root-ca host-cert' -d 'what it is; all but firmware go to ExpressLink modules'
complete -c iotctl -n "__iotctl_at 'ota push'" -s w -l wait -d 'follow the update to its end'
complete -c iotctl -n "__iotctl_at 'ota push'" -l timeout -x -d 'with --wait: stop watching after this, 0: when it has ended'
complete -c iotctl -n "__iotctl_at 'ota push'" -l device-timeout -x -d 'a device that takes longer is timed out'
complete -c iotctl -n "__iotctl_at 'ota push'" -l per-minute -x -d 'roll out to at most so many devices a minute'
complete -c iotctl -n "__iotctl_at 'ota push'" -l retries -x -d 'try again so often where a device fails'
complete -c iotctl -n "__iotctl_at 'ota push'" -l max-failures -x -d 'cancel it when so many of the devices that ended have failed'
complete -c iotctl -n "__iotctl_at 'ota push'" -l max-failures-after -x -d 'with --max-failures: not before so many have ended'
complete -c iotctl -n "__iotctl_at 'ota push'" -l start -x -d 'begin then: YYYY-MM-DDTHH:MM in UTC, at least 30 minutes ahead'
complete -c iotctl -n "__iotctl_at 'ota push'" -l via -x -a 'job ota-update' -d 'a stream and a job made here, or the OTA service'
complete -c iotctl -n "__iotctl_at 'ota push'" -l bucket -x -d 'at AWS: where the image goes (or the setting aws-bucket)'
complete -c iotctl -n "__iotctl_at 'ota push'" -l role-arn -x -d 'at AWS: role with which AWS IoT reads it (or the setting aws-role-arn)'
complete -c iotctl -n "__iotctl_at 'ota push'" -s k -l key -x -a '(__iotctl_live key)' -d 'code-signing key: name, file or pkcs11: URI'
complete -c iotctl -n "__iotctl_at 'ota push'" -l signature -r -F -d 'use this signature, made by \'image sign\''
complete -c iotctl -n "__iotctl_at 'ota push'" -l verify-key -r -F -d 'public key that the devices have'
complete -c iotctl -n "__iotctl_at 'ota push'" -l id -x -d 'name of the update'
complete -c iotctl -n "__iotctl_at 'ota push'" -l device-path -x -d 'where the device puts the image'
complete -c iotctl -n "__iotctl_at 'ota push'" -l device-cert -x -d 'which certificate the device checks with'
complete -c iotctl -n "__iotctl_at 'ota push'" -s f -l force -d 'also to devices that run this version'
complete -c iotctl -n "__iotctl_at 'ota push'" -l allow-legacy -d 'allow SHA-1 signatures'
complete -c iotctl -n "__iotctl_at 'ota push'" -l unsigned -d 'send no signature (needs --unchecked)'
complete -c iotctl -n "__iotctl_at 'ota push'" -l unchecked -d 'send what devices should refuse, to see that they do'
complete -c iotctl -n "__iotctl_at 'ota push'" -r -F


complete -c iotctl -n "__iotctl_at 'ota show'" -x -a '(__iotctl_live ota)'

complete -c iotctl -n "__iotctl_at 'ota watch'" -l timeout -x -d 'stop watching after this, 0: when it has ended'
complete -c iotctl -n "__iotctl_at 'ota watch'" -x -a '(__iotctl_live ota)'

complete -c iotctl -n "__iotctl_at 'ota cancel'" -s f -l force -d 'also for devices in the middle of it'
complete -c iotctl -n "__iotctl_at 'ota cancel'" -x -a '(__iotctl_live ota)'

complete -c iotctl -n "__iotctl_at 'ota doctor'" -x -a '(__iotctl_live ota)'

complete -c iotctl -n "__iotctl_at 'ota gc'" -l older-than -x -d 'spare what was changed since'
complete -c iotctl -n "__iotctl_at 'ota gc'" -s n -l dry-run -d 'only list them'

complete -c iotctl -n "__iotctl_at 'job'" -a create -d 'Give devices a job of your own'
complete -c iotctl -n "__iotctl_at 'job'" -a list -d 'List jobs'
complete -c iotctl -n "__iotctl_at 'job'" -a show -d 'Show a job with its document and counts'
complete -c iotctl -n "__iotctl_at 'job'" -a executions -d 'List a job\'s executions, device by device'
complete -c iotctl -n "__iotctl_at 'job'" -a cancel -d 'End a job for the devices that have not begun it'
complete -c iotctl -n "__iotctl_at 'job'" -a cancel-one -d 'End a job for one device'
complete -c iotctl -n "__iotctl_at 'job'" -a delete -d 'Delete a job that has ended, with its history'

complete -c iotctl -n "__iotctl_at 'job create'" -l to -x -a '(__iotctl_live device)' -d 'this device; may be repeated'
complete -c iotctl -n "__iotctl_at 'job create'" -s g -l group -x -a '(__iotctl_live group)' -d 'the devices of this group; may be repeated'
complete -c iotctl -n "__iotctl_at 'job create'" -l description -x -d 'what it is for'
complete -c iotctl -n "__iotctl_at 'job create'" -l device-timeout -x -d 'a device that takes longer is timed out'
complete -c iotctl -n "__iotctl_at 'job create'" -r -F

complete -c iotctl -n "__iotctl_at 'job list'" -l status -x -a 'IN_PROGRESS COMPLETED CANCELED SCHEDULED' -d 'only in this state'

complete -c iotctl -n "__iotctl_at 'job show'" -x -a '(__iotctl_live job)'

complete -c iotctl -n "__iotctl_at 'job executions'" -l status -x -a 'QUEUED IN_PROGRESS SUCCEEDED FAILED TIMED_OUT REJECTED REMOVED CANCELED' -d 'only in this state'
complete -c iotctl -n "__iotctl_at 'job executions'" -x -a '(__iotctl_live job)'

complete -c iotctl -n "__iotctl_at 'job cancel'" -s f -l force -d 'also where it is in progress'
complete -c iotctl -n "__iotctl_at 'job cancel'" -x -a '(__iotctl_live job)'

complete -c iotctl -n "__iotctl_at 'job cancel-one'" -s f -l force -d 'also where it is in progress'
complete -c iotctl -n "__iotctl_at 'job cancel-one'" -x -a '(__iotctl_live job)'
complete -c iotctl -n "__iotctl_at 'job cancel-one'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'job delete'" -s f -l force -d 'also where it is in progress'
complete -c iotctl -n "__iotctl_at 'job delete'" -s y -l yes -d 'do not ask'
complete -c iotctl -n "__iotctl_at 'job delete'" -x -a '(__iotctl_live job)'

complete -c iotctl -n "__iotctl_at 'stream'" -a list -d 'List streams'
complete -c iotctl -n "__iotctl_at 'stream'" -a show -d 'Show a stream\'s files'
complete -c iotctl -n "__iotctl_at 'stream'" -a delete -d 'Delete a stream; devices can no longer download from it'




complete -c iotctl -n "__iotctl_at 'publish'" -s m -l message -x -d 'the message; empty deletes a retained one'
complete -c iotctl -n "__iotctl_at 'publish'" -s f -l file -r -F -d 'the message is this file, - for standard input'
complete -c iotctl -n "__iotctl_at 'publish'" -s l -l lines -d 'every line is a message'
complete -c iotctl -n "__iotctl_at 'publish'" -l format -x -a 'text hex base64 json' -d 'how messages are written here'
complete -c iotctl -n "__iotctl_at 'publish'" -s r -l retain -d 'the broker keeps the last message of a topic'
complete -c iotctl -n "__iotctl_at 'publish'" -l to -x -a '(__iotctl_live device)' -d 'for this device; may be repeated'
complete -c iotctl -n "__iotctl_at 'publish'" -s g -l group -x -a '(__iotctl_live group)' -d 'for the devices of this group'
complete -c iotctl -n "__iotctl_at 'publish'" -l all -d 'for all devices'
complete -c iotctl -n "__iotctl_at 'publish'" -l role -x -a 'config command reply event state' -d 'to the topic that their layout has for this'
complete -c iotctl -n "__iotctl_at 'publish'" -l subfolder -x -d 'with --role: below its topic'
complete -c iotctl -n "__iotctl_at 'publish'" -s n -l count -x -d 'send it so often; with --lines: so many lines'
complete -c iotctl -n "__iotctl_at 'publish'" -l rate -x -d 'at most so many messages a second, or N/m a minute'
complete -c iotctl -n "__iotctl_at 'publish'" -l window -x -d 'messages not yet acknowledged'
complete -c iotctl -n "__iotctl_at 'publish'" -l timeout -x -d 'wait so long for an acknowledgement'
complete -c iotctl -n "__iotctl_at 'publish'" -l resume -r -F -d 'journal of what was acknowledged'
complete -c iotctl -n "__iotctl_at 'publish'" -l qos -x -d '0 or 1'
complete -c iotctl -n "__iotctl_at 'publish'" -l as -x -a '(__fish_complete_directories (commandline -ct))' -d 'as the device with this folder, over TLS'

complete -c iotctl -n "__iotctl_at 'subscribe'" -s n -l count -x -d 'end after so many messages'
complete -c iotctl -n "__iotctl_at 'subscribe'" -l timeout -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'subscribe'" -l format -x -a 'text hex base64 json' -d 'how payloads are shown'
complete -c iotctl -n "__iotctl_at 'subscribe'" -l no-retained -d 'skip what was retained before'
complete -c iotctl -n "__iotctl_at 'subscribe'" -l qos -x -d '0 or 1'
complete -c iotctl -n "__iotctl_at 'subscribe'" -l as -x -a '(__fish_complete_directories (commandline -ct))' -d 'as the device with this folder, over TLS'

complete -c iotctl -n "__iotctl_at 'command'" -a send -d 'Tell devices to do something, now'

complete -c iotctl -n "__iotctl_at 'command send'" -s g -l group -x -a '(__iotctl_live group)' -d 'all devices of a group'
complete -c iotctl -n "__iotctl_at 'command send'" -l from -r -F -d 'devices, one name per line'
complete -c iotctl -n "__iotctl_at 'command send'" -s m -l message -x -d 'the command'
complete -c iotctl -n "__iotctl_at 'command send'" -s f -l file -r -F -d 'the command is this file, - for standard input'
complete -c iotctl -n "__iotctl_at 'command send'" -l format -x -a 'text hex base64 json' -d 'how the command is written here'
complete -c iotctl -n "__iotctl_at 'command send'" -l subfolder -x -d 'below the topic for commands, where the layout has such'
complete -c iotctl -n "__iotctl_at 'command send'" -s w -l wait -d 'for the answers'
complete -c iotctl -n "__iotctl_at 'command send'" -l timeout -x -d 'wait so long for each device'
complete -c iotctl -n "__iotctl_at 'command send'" -l in-flight -x -d 'devices told at the same time'
complete -c iotctl -n "__iotctl_at 'command send'" -l even-offline -d 'send also to devices that are not known to be connected'
complete -c iotctl -n "__iotctl_at 'command send'" -l max-failures -x -d 'tell no more devices when so many have failed'
complete -c iotctl -n "__iotctl_at 'command send'" -l resume -r -F -d 'journal of who was told and has answered'
complete -c iotctl -n "__iotctl_at 'command send'" -l retry-failed -d 'with --resume: tell those again that did not answer'
complete -c iotctl -n "__iotctl_at 'command send'" -l as -x -a '(__fish_complete_directories (commandline -ct))' -d 'as the device with this folder, over TLS'
complete -c iotctl -n "__iotctl_at 'command send'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'layout'" -a list -d 'List layouts, and which thing types use them'
complete -c iotctl -n "__iotctl_at 'layout'" -a show -d 'Print a layout as its file has it'
complete -c iotctl -n "__iotctl_at 'layout'" -a check -d 'Say everything that is wrong with a layout file'
complete -c iotctl -n "__iotctl_at 'layout'" -a add -d 'Put a layout of your own into the fleet'
complete -c iotctl -n "__iotctl_at 'layout'" -a use -d 'Choose the layout of a thing type, or of all others'
complete -c iotctl -n "__iotctl_at 'layout'" -a topics -d 'Show the topics of a device'


complete -c iotctl -n "__iotctl_at 'layout show'" -r -F

complete -c iotctl -n "__iotctl_at 'layout check'" -r -F

complete -c iotctl -n "__iotctl_at 'layout add'" -l update -d 'replace the one of the same name'
complete -c iotctl -n "__iotctl_at 'layout add'" -r -F

complete -c iotctl -n "__iotctl_at 'layout use'" -l type -x -a '(__iotctl_live type)' -d 'for devices of this thing type'

complete -c iotctl -n "__iotctl_at 'layout topics'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config'" -a set -d 'Give devices a configuration'
complete -c iotctl -n "__iotctl_at 'config'" -a get -d 'Print the configuration of a device'
complete -c iotctl -n "__iotctl_at 'config'" -a list -d 'Which version devices should have, and which they have'
complete -c iotctl -n "__iotctl_at 'config'" -a history -d 'List all versions of a device\'s configuration'
complete -c iotctl -n "__iotctl_at 'config'" -a diff -d 'Compare two versions of a device\'s configuration'
complete -c iotctl -n "__iotctl_at 'config'" -a rollback -d 'Give a device an earlier version of its configuration again'
complete -c iotctl -n "__iotctl_at 'config'" -a schema -d 'What configurations of a thing type may be'

complete -c iotctl -n "__iotctl_at 'config set'" -s t -l to -x -a '(__iotctl_live device)' -d 'thing name or alias; may be repeated'
complete -c iotctl -n "__iotctl_at 'config set'" -s g -l group -x -a '(__iotctl_live group)' -d 'all devices of a group'
complete -c iotctl -n "__iotctl_at 'config set'" -l from -r -F -d 'devices, one name per line'
complete -c iotctl -n "__iotctl_at 'config set'" -l if-version -x -d 'only if that is the version now; 0: if there is none'
complete -c iotctl -n "__iotctl_at 'config set'" -r -F

complete -c iotctl -n "__iotctl_at 'config get'" -l version -x -d 'that version, not the newest'
complete -c iotctl -n "__iotctl_at 'config get'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config list'" -s g -l group -x -a '(__iotctl_live group)' -d 'devices of a group'
complete -c iotctl -n "__iotctl_at 'config list'" -s T -l type -x -a '(__iotctl_live type)' -d 'devices of a thing type'
complete -c iotctl -n "__iotctl_at 'config list'" -l pending -d 'only those that have not acknowledged the newest one'
complete -c iotctl -n "__iotctl_at 'config list'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config history'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config diff'" -l from -x -d 'the old version'
complete -c iotctl -n "__iotctl_at 'config diff'" -l to -x -d 'the new version'
complete -c iotctl -n "__iotctl_at 'config diff'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config rollback'" -l to -x -d 'that version, not the one before the newest'
complete -c iotctl -n "__iotctl_at 'config rollback'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'config schema'" -a set -d 'Check configurations of a thing type with a schema'
complete -c iotctl -n "__iotctl_at 'config schema'" -a show -d 'Print the schema of a thing type'

complete -c iotctl -n "__iotctl_at 'config schema set'" -x -a '(__iotctl_live type)'
complete -c iotctl -n "__iotctl_at 'config schema set'" -r -F

complete -c iotctl -n "__iotctl_at 'config schema show'" -x -a '(__iotctl_live type)'

complete -c iotctl -n "__iotctl_at 'shadow'" -a get -d 'Print a shadow'
complete -c iotctl -n "__iotctl_at 'shadow'" -a update -d 'Make or change a shadow'
complete -c iotctl -n "__iotctl_at 'shadow'" -a delete -d 'Delete a shadow'
complete -c iotctl -n "__iotctl_at 'shadow'" -a list -d 'List the shadows of a device'
complete -c iotctl -n "__iotctl_at 'shadow'" -a watch -d 'Follow the changes of a shadow'

complete -c iotctl -n "__iotctl_at 'shadow get'" -s n -l name -x -d 'a named shadow, not the classic one'
complete -c iotctl -n "__iotctl_at 'shadow get'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'shadow update'" -s n -l name -x -d 'a named shadow, not the classic one'
complete -c iotctl -n "__iotctl_at 'shadow update'" -l desired -x -d 'what it is to be: an object, or null'
complete -c iotctl -n "__iotctl_at 'shadow update'" -l reported -x -d 'what it says it is: an object, or null'
complete -c iotctl -n "__iotctl_at 'shadow update'" -l if-version -x -d 'only if that is its version; 0: if there is none'
complete -c iotctl -n "__iotctl_at 'shadow update'" -x -a '(__iotctl_live device)'
complete -c iotctl -n "__iotctl_at 'shadow update'" -r -F

complete -c iotctl -n "__iotctl_at 'shadow delete'" -s n -l name -x -d 'a named shadow, not the classic one'
complete -c iotctl -n "__iotctl_at 'shadow delete'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'shadow list'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'shadow watch'" -s n -l name -x -d 'a named shadow, not the classic one'
complete -c iotctl -n "__iotctl_at 'shadow watch'" -s c -l count -x -d 'end after so many changes'
complete -c iotctl -n "__iotctl_at 'shadow watch'" -l timeout -x -d 'end after this time'
complete -c iotctl -n "__iotctl_at 'shadow watch'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'state'" -a list -d 'List the states a device reported last, newest first'
complete -c iotctl -n "__iotctl_at 'state'" -a watch -d 'Print states as a device reports them'

complete -c iotctl -n "__iotctl_at 'state list'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'state watch'" -s n -l count -x -d 'end after so many'
complete -c iotctl -n "__iotctl_at 'state watch'" -l timeout -x -d 'end after this; exit code 8 if --count of them did not come'
complete -c iotctl -n "__iotctl_at 'state watch'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'events'" -a tail -d 'Print events as they happen'
complete -c iotctl -n "__iotctl_at 'events'" -a route -d 'Where serve takes events of devices'

complete -c iotctl -n "__iotctl_at 'events tail'" -s k -l kind -x -d 'of these kinds; all if not given'
complete -c iotctl -n "__iotctl_at 'events tail'" -s d -l device -x -a '(__iotctl_live device)' -d 'about this one: thing name or alias'
complete -c iotctl -n "__iotctl_at 'events tail'" -s n -l count -x -d 'end after so many events'
complete -c iotctl -n "__iotctl_at 'events tail'" -l timeout -x -d 'end after this'

complete -c iotctl -n "__iotctl_at 'events route'" -a add -d 'Take events of devices to a file, a command or a topic'
complete -c iotctl -n "__iotctl_at 'events route'" -a list -d 'List routes in the order in which they are asked'
complete -c iotctl -n "__iotctl_at 'events route'" -a show -d 'Show one route'
complete -c iotctl -n "__iotctl_at 'events route'" -a remove -d 'Remove a route'
complete -c iotctl -n "__iotctl_at 'events route'" -a check -d 'Say what is wrong with the routes'

complete -c iotctl -n "__iotctl_at 'events route add'" -s s -l subfolder -x -d 'events with this subfolder'
complete -c iotctl -n "__iotctl_at 'events route add'" -l default -d 'events that no other route takes'
complete -c iotctl -n "__iotctl_at 'events route add'" -l layout -x -d 'only of devices with this layout'
complete -c iotctl -n "__iotctl_at 'events route add'" -l registry -x -d 'only of devices with a token, whose client id names it'
complete -c iotctl -n "__iotctl_at 'events route add'" -s f -l file -r -F -d 'append them to this file'
complete -c iotctl -n "__iotctl_at 'events route add'" -l max-size -x -d 'of the file'
complete -c iotctl -n "__iotctl_at 'events route add'" -l keep -x -d 'so many older files are kept'
complete -c iotctl -n "__iotctl_at 'events route add'" -s t -l topic -x -d 'publish them on this topic'
complete -c iotctl -n "__iotctl_at 'events route add'" -l shell -d 'COMMAND is one text for /bin/sh'
complete -c iotctl -n "__iotctl_at 'events route add'" -l before -x -d 'ask it before that one, not as the last'





complete -c iotctl -n "__iotctl_at 'gateway'" -a create -d 'Make a gateway: a device with the rights of its children'
complete -c iotctl -n "__iotctl_at 'gateway'" -a add -d 'Make a device a child of a gateway'
complete -c iotctl -n "__iotctl_at 'gateway'" -a remove -d 'Take a child from a gateway'
complete -c iotctl -n "__iotctl_at 'gateway'" -a children -d 'List the children of a gateway'
complete -c iotctl -n "__iotctl_at 'gateway'" -a export -d 'Write what a gateway needs on another machine'
complete -c iotctl -n "__iotctl_at 'gateway'" -a run -d 'Run a gateway'

complete -c iotctl -n "__iotctl_at 'gateway create'" -l out -x -a '(__fish_complete_directories (commandline -ct))' -d 'folder for key and certificate'
complete -c iotctl -n "__iotctl_at 'gateway create'" -l type -x -a '(__iotctl_live type)' -d 'thing type'
complete -c iotctl -n "__iotctl_at 'gateway create'" -l children -x -d 'names of its children begin so'
complete -c iotctl -n "__iotctl_at 'gateway create'" -l days -x -d 'validity of the certificate'

complete -c iotctl -n "__iotctl_at 'gateway add'" -l copy-to -x -d 'another child that hears what it says'
complete -c iotctl -n "__iotctl_at 'gateway add'" -x -a '(__iotctl_live device)'
complete -c iotctl -n "__iotctl_at 'gateway add'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'gateway remove'" -x -a '(__iotctl_live device)'
complete -c iotctl -n "__iotctl_at 'gateway remove'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'gateway children'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'gateway export'" -l out -x -a '(__fish_complete_directories (commandline -ct))' -d 'folder to write'
complete -c iotctl -n "__iotctl_at 'gateway export'" -l identity -x -a '(__fish_complete_directories (commandline -ct))' -d 'folder of \'gateway create\'; needed the first time'
complete -c iotctl -n "__iotctl_at 'gateway export'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'gateway run'" -l listen -x -d 'address for devices'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l port -x -d 'port for devices; 0: any'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l policy -r -F -d 'default attestation policy, of a device or a type'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l nonce -x -d 'size of the challenge: 32, 48 or 64'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l suites -x -d 'TLS suites, in OpenSSL\'s words'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l state -x -a '(__fish_complete_directories (commandline -ct))' -d 'folder of the queue; by default DIR/queue'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l endpoint -x -d 'another broker than the folder\'s'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l endpoint-port -x -d 'its port'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l ca -r -F -d 'what that broker\'s certificate is checked against'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l devices -x -d 'connections at once'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l handshake-timeout -x -d 'a handshake must be over by then'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l attestation-timeout -x -d 'the token must be there by then'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l message-timeout -x -d 'a message that has begun must be whole'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l idle-timeout -x -d 'a silent device is dropped'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l queue-messages -x -d 'kept for one device'
complete -c iotctl -n "__iotctl_at 'gateway run'" -l queue-size -x -d 'kept for all'
complete -c iotctl -n "__iotctl_at 'gateway run'" -x -a '(__fish_complete_directories (commandline -ct))'

complete -c iotctl -n "__iotctl_at 'psk'" -a create -d 'Make a secret for a device'
complete -c iotctl -n "__iotctl_at 'psk'" -a list -d 'List secrets, without the secrets themselves'
complete -c iotctl -n "__iotctl_at 'psk'" -a show -d 'Show one'
complete -c iotctl -n "__iotctl_at 'psk'" -a rotate -d 'Make a second secret for a device, beside the active one'
complete -c iotctl -n "__iotctl_at 'psk'" -a revoke -d 'Let a secret count for nothing, for good'
complete -c iotctl -n "__iotctl_at 'psk'" -a delete -d 'Forget a revoked secret'
complete -c iotctl -n "__iotctl_at 'psk'" -a export -d 'Write the active secrets into a file'
complete -c iotctl -n "__iotctl_at 'psk'" -a import -d 'Take secrets that devices have already'

complete -c iotctl -n "__iotctl_at 'psk create'" -l identity -x -d 'what the device calls itself; it travels in clear'
complete -c iotctl -n "__iotctl_at 'psk create'" -l size -x -d 'bytes of it; mbed TLS takes at most 32'
complete -c iotctl -n "__iotctl_at 'psk create'" -l attestation -d 'the key of its attestation tokens, not of TLS-PSK'
complete -c iotctl -n "__iotctl_at 'psk create'" -l out -r -F -d 'write IDENTITY:HEX into a new file, mode 0600'
complete -c iotctl -n "__iotctl_at 'psk create'" -s f -l force -d 'replace the file if it is there'
complete -c iotctl -n "__iotctl_at 'psk create'" -l reveal -d 'print the secret itself'
complete -c iotctl -n "__iotctl_at 'psk create'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'psk list'" -l device -x -a '(__iotctl_live device)' -d 'only of this one'

complete -c iotctl -n "__iotctl_at 'psk show'" -l out -r -F -d 'write IDENTITY:HEX into a new file, mode 0600'
complete -c iotctl -n "__iotctl_at 'psk show'" -s f -l force -d 'replace the file if it is there'
complete -c iotctl -n "__iotctl_at 'psk show'" -l reveal -d 'print the secret itself'

complete -c iotctl -n "__iotctl_at 'psk rotate'" -l identity -x -d 'what the device calls itself; it travels in clear'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -l size -x -d 'bytes of it; mbed TLS takes at most 32'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -l attestation -d 'the key of its attestation tokens, not of TLS-PSK'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -l out -r -F -d 'write IDENTITY:HEX into a new file, mode 0600'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -s f -l force -d 'replace the file if it is there'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -l reveal -d 'print the secret itself'
complete -c iotctl -n "__iotctl_at 'psk rotate'" -x -a '(__iotctl_live device)'



complete -c iotctl -n "__iotctl_at 'psk export'" -l out -r -F -d 'write IDENTITY:HEX into a new file, mode 0600'
complete -c iotctl -n "__iotctl_at 'psk export'" -s f -l force -d 'replace the file if it is there'
complete -c iotctl -n "__iotctl_at 'psk export'" -l reveal -d 'print the secret itself'
complete -c iotctl -n "__iotctl_at 'psk export'" -l attestation -d 'the key of its attestation tokens, not of TLS-PSK'
complete -c iotctl -n "__iotctl_at 'psk export'" -l format -x -a 'mosquitto csv json' -d 'mosquitto, csv or json'
complete -c iotctl -n "__iotctl_at 'psk export'" -l device -x -a '(__iotctl_live device)' -d 'only of this one'

complete -c iotctl -n "__iotctl_at 'psk import'" -l attestation -d 'the key of its attestation tokens, not of TLS-PSK'
complete -c iotctl -n "__iotctl_at 'psk import'" -l device -x -a '(__iotctl_live device)' -d 'whose they are'
complete -c iotctl -n "__iotctl_at 'psk import'" -r -F

complete -c iotctl -n "__iotctl_at 'attest'" -a verify -d 'Check a token, and name each check'
complete -c iotctl -n "__iotctl_at 'attest'" -a decode -d 'Show what a token claims, without checking it'
complete -c iotctl -n "__iotctl_at 'attest'" -a policy -d 'What devices may run, to be let in by a gateway'
complete -c iotctl -n "__iotctl_at 'attest'" -a add-key -d 'Register a public key that a device\'s attestation tokens are checked with'
complete -c iotctl -n "__iotctl_at 'attest'" -a keys -d 'List the public keys that a device\'s attestation tokens are checked with'
complete -c iotctl -n "__iotctl_at 'attest'" -a remove-key -d 'Take a public attestation key from a device'

complete -c iotctl -n "__iotctl_at 'attest verify'" -l device -x -a '(__iotctl_live device)' -d 'with the attestation keys in the registry, secret or public'
complete -c iotctl -n "__iotctl_at 'attest verify'" -s k -l key -r -F -d 'with the secret in this private file, hex or bytes'
complete -c iotctl -n "__iotctl_at 'attest verify'" -l public-key -r -F -d 'with this public key or certificate'
complete -c iotctl -n "__iotctl_at 'attest verify'" -l nonce -x -d 'the challenge that it answers'
complete -c iotctl -n "__iotctl_at 'attest verify'" -l instance-id -x -d 'the instance id of the device'
complete -c iotctl -n "__iotctl_at 'attest verify'" -l algorithm -x -a 'HMAC256 HMAC384 HMAC512 ES256 ES384 ES512' -d 'of the key; by default HMAC256, or its curve\'s'
complete -c iotctl -n "__iotctl_at 'attest verify'" -s p -l policy -r -F -d 'what is accepted'
complete -c iotctl -n "__iotctl_at 'attest verify'" -l allow-test-keys -d 'take keys that are published, for tests'
complete -c iotctl -n "__iotctl_at 'attest verify'" -r -F

complete -c iotctl -n "__iotctl_at 'attest decode'" -r -F

complete -c iotctl -n "__iotctl_at 'attest policy'" -a make -d 'Make a policy from signed images'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a create -d 'Keep a policy in the registry, under a name'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a list -d 'List the policies in the registry, and whom they are for'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a show -d 'Show a policy\'s document'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a delete -d 'Forget a policy that is for nobody any more'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a assign -d 'Let a policy count for a device, a group or a type'
complete -c iotctl -n "__iotctl_at 'attest policy'" -a unassign -d 'Let a policy no longer count for a device, a group or a type'

complete -c iotctl -n "__iotctl_at 'attest policy make'" -l later -d 'later versions of the same signer will do, too'
complete -c iotctl -n "__iotctl_at 'attest policy make'" -l implementation-id -x -d '32 bytes'
complete -c iotctl -n "__iotctl_at 'attest policy make'" -l out -r -F -d 'write it there, not to stdout'
complete -c iotctl -n "__iotctl_at 'attest policy make'" -r -F

complete -c iotctl -n "__iotctl_at 'attest policy create'" -l replace -d 'change it if it says something else'
complete -c iotctl -n "__iotctl_at 'attest policy create'" -r -F

complete -c iotctl -n "__iotctl_at 'attest policy list'" -l device -x -a '(__iotctl_live device)' -d 'only those that count for this device'



complete -c iotctl -n "__iotctl_at 'attest policy assign'" -l device -x -a '(__iotctl_live device)' -d 'this device'
complete -c iotctl -n "__iotctl_at 'attest policy assign'" -s g -l group -x -a '(__iotctl_live group)' -d 'the devices of this group and those below'
complete -c iotctl -n "__iotctl_at 'attest policy assign'" -s t -l type -x -a '(__iotctl_live type)' -d 'the devices of this type'

complete -c iotctl -n "__iotctl_at 'attest policy unassign'" -l device -x -a '(__iotctl_live device)' -d 'this device'
complete -c iotctl -n "__iotctl_at 'attest policy unassign'" -s g -l group -x -a '(__iotctl_live group)' -d 'the devices of this group and those below'
complete -c iotctl -n "__iotctl_at 'attest policy unassign'" -s t -l type -x -a '(__iotctl_live type)' -d 'the devices of this type'

complete -c iotctl -n "__iotctl_at 'attest add-key'" -l expires -x -d 'when it ends: 2027-11-21T00:00:00Z'
complete -c iotctl -n "__iotctl_at 'attest add-key'" -x -a '(__iotctl_live device)'
complete -c iotctl -n "__iotctl_at 'attest add-key'" -r -F

complete -c iotctl -n "__iotctl_at 'attest keys'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'attest remove-key'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'jwt'" -a create -d 'Make a token with a device\'s private key'
complete -c iotctl -n "__iotctl_at 'jwt'" -a inspect -d 'Show what a token says and what is wrong with it'
complete -c iotctl -n "__iotctl_at 'jwt'" -a verify -d 'Check a token, and name each check'
complete -c iotctl -n "__iotctl_at 'jwt'" -a add-key -d 'Register a public key that a device signs tokens with'
complete -c iotctl -n "__iotctl_at 'jwt'" -a keys -d 'List the public keys of a device'
complete -c iotctl -n "__iotctl_at 'jwt'" -a remove-key -d 'Take a public key from a device'

complete -c iotctl -n "__iotctl_at 'jwt create'" -s k -l key -r -F -d 'private key: file or pkcs11: URI'
complete -c iotctl -n "__iotctl_at 'jwt create'" -s a -l audience -x -d 'the project\'s id'
complete -c iotctl -n "__iotctl_at 'jwt create'" -l lifetime -x -d 'how long it is good'
complete -c iotctl -n "__iotctl_at 'jwt create'" -l claim -x -d 'another claim: JSON, or text'

complete -c iotctl -n "__iotctl_at 'jwt inspect'" -s a -l audience -x -d 'the project\'s id'
complete -c iotctl -n "__iotctl_at 'jwt inspect'" -l skew -x -d 'by how much clocks may differ'
complete -c iotctl -n "__iotctl_at 'jwt inspect'" -r -F

complete -c iotctl -n "__iotctl_at 'jwt verify'" -l device -x -a '(__iotctl_live device)' -d 'with its public keys in the registry'
complete -c iotctl -n "__iotctl_at 'jwt verify'" -s k -l key -r -F -d 'with this public key or certificate'
complete -c iotctl -n "__iotctl_at 'jwt verify'" -s a -l audience -x -d 'the project\'s id'
complete -c iotctl -n "__iotctl_at 'jwt verify'" -l skew -x -d 'by how much clocks may differ'
complete -c iotctl -n "__iotctl_at 'jwt verify'" -r -F

complete -c iotctl -n "__iotctl_at 'jwt add-key'" -l expires -x -d 'when it ends: 2027-11-21T00:00:00Z'
complete -c iotctl -n "__iotctl_at 'jwt add-key'" -x -a '(__iotctl_live device)'
complete -c iotctl -n "__iotctl_at 'jwt add-key'" -r -F

complete -c iotctl -n "__iotctl_at 'jwt keys'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'jwt remove-key'" -x -a '(__iotctl_live device)'

complete -c iotctl -n "__iotctl_at 'sim'" -a firmware -d 'Make firmware for software devices'
complete -c iotctl -n "__iotctl_at 'sim'" -a device -d 'Run a software device from its folder'
complete -c iotctl -n "__iotctl_at 'sim'" -a fleet -d 'Run many software devices in one process'
complete -c iotctl -n "__iotctl_at 'sim'" -a jwt-device -d 'Run a software device that shows tokens, as made for Google\'s IoT Core'
complete -c iotctl -n "__iotctl_at 'sim'" -a psk-device -d 'Run a small device behind a gateway'
complete -c iotctl -n "__iotctl_at 'sim'" -a expresslink -d 'Run a software ExpressLink module on a pseudo terminal'
complete -c iotctl -n "__iotctl_at 'sim'" -a board -d 'Run a software board of another dialect on a pseudo terminal'
complete -c iotctl -n "__iotctl_at 'sim'" -a host -d 'Run a software host microcontroller behind an ExpressLink module'

complete -c iotctl -n "__iotctl_at 'sim firmware'" -l version -x -d 'version of the image'
complete -c iotctl -n "__iotctl_at 'sim firmware'" -l out -r -F -d 'where; by default firmware-X.Y.Z.bin'
complete -c iotctl -n "__iotctl_at 'sim firmware'" -l size -x -d 'size of the image'
complete -c iotctl -n "__iotctl_at 'sim firmware'" -l crash -d 'crashes when it is booted'
complete -c iotctl -n "__iotctl_at 'sim firmware'" -l hang -d 'hangs until the watchdog bites'
complete -c iotctl -n "__iotctl_at 'sim firmware'" -l fail-test -d 'fails its self-test'

complete -c iotctl -n "__iotctl_at 'sim device'" -l image -r -F -d 'firmware of the factory slot, for the first start'
complete -c iotctl -n "__iotctl_at 'sim device'" -l block-size -x -d 'bytes in a block of an update'
complete -c iotctl -n "__iotctl_at 'sim device'" -l window -x -d 'blocks asked for at once'
complete -c iotctl -n "__iotctl_at 'sim device'" -l watchdog -x -d 'an image that hangs is reset'
complete -c iotctl -n "__iotctl_at 'sim device'" -l request-timeout -x -d 'an unanswered request is repeated'
complete -c iotctl -n "__iotctl_at 'sim device'" -l exit-after -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'sim device'" -l once -d 'end when no job is left'
complete -c iotctl -n "__iotctl_at 'sim device'" -l fault -x -d 'misbehave in this way'
complete -c iotctl -n "__iotctl_at 'sim device'" -l behaviour -r -F -d 'do what this file says; bus and depot are there already'
complete -c iotctl -n "__iotctl_at 'sim device'" -l factory-boot -d 'forget both update slots and boot the factory image'
complete -c iotctl -n "__iotctl_at 'sim device'" -x -a '(__fish_complete_directories (commandline -ct))'

complete -c iotctl -n "__iotctl_at 'sim fleet'" -s n -l count -x -d 'how many of them'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l connect-window -x -d 'connects under way at once'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l image -r -F -d 'firmware of the factory slot, for the first start'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l block-size -x -d 'bytes in a block of an update'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l window -x -d 'blocks asked for at once'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l watchdog -x -d 'an image that hangs is reset'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l request-timeout -x -d 'an unanswered request is repeated'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l exit-after -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l once -d 'end when no job is left'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l fault -x -d 'misbehave in this way'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -l behaviour -r -F -d 'do what this file says; bus and depot are there already'
complete -c iotctl -n "__iotctl_at 'sim fleet'" -x -a '(__fish_complete_directories (commandline -ct))'

complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -s k -l key -r -F -d 'its private key: file or pkcs11: URI'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l ca -r -F -d 'CA of the broker'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l project -x -d 'the project\'s id'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l host -x -d 'the broker'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l port -x -d 'its port for tokens'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l location -x -d 'of the client id'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l registry -x -d 'of the client id'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l audience -x -d 'whom tokens are made for; by default the project'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l lifetime -x -d 'how long a token is good'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l interval -x -d 'between events'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l renewals -x -d 'end after so many tokens'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l exit-after -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'sim jwt-device'" -l fault -x -d 'misbehave in this way'

complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l host -x -d 'the gateway'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l port -x -d 'its port'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -s k -l key -r -F -d 'its secret, as \'psk create --out\' writes it'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l attestation-key -r -F -d 'the key of its tokens, likewise, or a private key in PEM'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l suites -x -d 'TLS suites, in OpenSSL\'s words'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -s n -l count -x -d 'end after so many measurements; 0: only listen'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l interval -x -d 'between measurements'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l exit-after -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'sim psk-device'" -l fault -x -a 'bad-key bad-token wrong-nonce replay lifecycle other-device huge garbage early-data silent slow' -d 'misbehave in this way'

complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l link -r -F -d 'where its serial port appears'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l state -x -a '(__fish_complete_directories (commandline -ct))' -d 'its flash; by default PATH.state'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l broker-port -x -d 'port of endpoints that name none'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l staging -x -d 'the vendor\'s staging endpoint'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l spec -x -a 'v0.5 v1.0 v1.1 v1.2 v1.3' -d 'version of the guide to answer like'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l baud -x -d 'pace bytes as a wire of this rate would'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l exec-time -x -d 'how long commands take'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l fault -x -a 'noise silence silence-in-pem wrong-speed literal-pem' -d 'misbehave in this way'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l seed -x -d 'of the faults\' dice'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l vendor-ca -r -F -d 'CA that issues its birth certificate, at the first start; else it is self-signed'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l vendor-key -r -F -d 'key of that CA'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l root-ca -r -F -d 'root certificate it is born with'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l firmware -x -d 'version it is born with'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l ssid -x -d 'the only Wi-Fi network in reach; else none is needed'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l wifi-password-file -r -F -d 'private file whose first line is that network\'s password; else it takes any'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l auto-accept -d 'download host images without the host\'s permission'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l pem-prompt -d 'say OK before a PEM is pasted and OK COMPLETE after it, as some modules do'
complete -c iotctl -n "__iotctl_at 'sim expresslink'" -l exit-after -x -d 'end after this'

complete -c iotctl -n "__iotctl_at 'sim board'" -l kind -x -a 'freertos nrf91 sim7600 zephyr' -d 'which board: freertos, nrf91, sim7600 or zephyr'
complete -c iotctl -n "__iotctl_at 'sim board'" -l link -r -F -d 'where its serial port appears'
complete -c iotctl -n "__iotctl_at 'sim board'" -l state -x -a '(__fish_complete_directories (commandline -ct))' -d 'its flash; by default PATH.state'
complete -c iotctl -n "__iotctl_at 'sim board'" -l baud -x -d 'pace bytes as a wire of this rate would'
complete -c iotctl -n "__iotctl_at 'sim board'" -l fault -x -a 'log wrong-speed no-overwrite fail-commit fail-key' -d 'misbehave in this way'
complete -c iotctl -n "__iotctl_at 'sim board'" -l seed -x -d 'of the faults\' dice'
complete -c iotctl -n "__iotctl_at 'sim board'" -l endpoint -x -d 'where the application of nrf91 connects; else nowhere'
complete -c iotctl -n "__iotctl_at 'sim board'" -l firmware -x -d 'of the modem of nrf91, such as mfw_nrf91x1_2.0.1'
complete -c iotctl -n "__iotctl_at 'sim board'" -l exit-after -x -d 'end after this'

complete -c iotctl -n "__iotctl_at 'sim host'" -l port -x -a '(__iotctl_live port)' -d 'the module\'s serial port'
complete -c iotctl -n "__iotctl_at 'sim host'" -l state -x -a '(__fish_complete_directories (commandline -ct))' -d 'its flash; by default PORT.host'
complete -c iotctl -n "__iotctl_at 'sim host'" -l image -r -F -d 'firmware of the factory slot, for the first start'
complete -c iotctl -n "__iotctl_at 'sim host'" -l certificate -r -F -d 'certificate or public key that images must be signed with'
complete -c iotctl -n "__iotctl_at 'sim host'" -l topic -x -d 'front of its topics, {name} is the thing name'
complete -c iotctl -n "__iotctl_at 'sim host'" -l interval -x -d 'between telemetry messages'
complete -c iotctl -n "__iotctl_at 'sim host'" -l read-size -x -d 'bytes of an image asked for at once'
complete -c iotctl -n "__iotctl_at 'sim host'" -l watchdog -x -d 'an image that hangs is reset'
complete -c iotctl -n "__iotctl_at 'sim host'" -l exit-after -x -d 'end after this'
complete -c iotctl -n "__iotctl_at 'sim host'" -l once -d 'end when an update has been reported'
complete -c iotctl -n "__iotctl_at 'sim host'" -l factory-boot -d 'forget both update slots and boot the factory image'

complete -c iotctl -n "__iotctl_at 'api'" -s l -l list -d 'list the operations'
complete -c iotctl -n "__iotctl_at 'api'" -l input -r -F -d 'the request as a JSON object'
complete -c iotctl -n "__iotctl_at 'api'" -l lines -r -F -d 'many requests, one JSON object a line'
complete -c iotctl -n "__iotctl_at 'api'" -l body -r -F -d 'bytes that go with the request'
complete -c iotctl -n "__iotctl_at 'api'" -x -a '(__iotctl_live operation)'

complete -c iotctl -n "__iotctl_at 'settings'" -a show -d 'Show every setting, and where it comes from'
complete -c iotctl -n "__iotctl_at 'settings'" -a set -d 'Change a setting in the user\'s own file'
complete -c iotctl -n "__iotctl_at 'settings'" -a import -d 'Take an operator\'s profile file in, to use it by its name'

complete -c iotctl -n "__iotctl_at 'settings show'" -l origin -d 'say which file, variable or option won'

complete -c iotctl -n "__iotctl_at 'settings set'" -l unset -d 'remove it'
complete -c iotctl -n "__iotctl_at 'settings set'" -x -a '(__iotctl_live setting)'

complete -c iotctl -n "__iotctl_at 'settings import'" -l replace -d 'take the place of another of that name'
complete -c iotctl -n "__iotctl_at 'settings import'" -r -F

complete -c iotctl -n "__iotctl_at 'completion'" -x -a 'bash zsh fish'

