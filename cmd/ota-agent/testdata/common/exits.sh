# exits.sh CODE ARG... succeeds where ota-agent ARG... exits with CODE.
want=$1
shift
ota-agent "$@"
got=$?
[ "$got" = "$want" ] || {
	echo "exit code $got, want $want"
	exit 1
}
