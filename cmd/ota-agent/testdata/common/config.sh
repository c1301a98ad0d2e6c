# config.sh [NAME [ANCHOR [HOOK]]] makes NAME.toml, for a device in the current directory.
cat >"${1-agent}.toml" <<END
anchor = "${2-$PWD/repo/root.json}"
state = "$PWD/state"
socket = "$PWD/run/agent.sock"
[device]
id = "board-1"
hardware = "board"
channel = "stable"

[repository]
metadata = "file://$PWD/repo/repo/metadata"
targets = "file://$PWD/repo/repo/targets"
[[component]]
name = "app"
target = "app.tar"
hook = "${3-$HOOK}"
env = { APP_DIR = "$PWD/app" }
[component.health]
every = "1s"
END
