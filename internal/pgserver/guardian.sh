# Runs a command and ends it when the process that started it is gone.
#   $1      a directory to remove in that case, or empty
#   $2      the command's log file
#   $3...   the command
# Standard output gets the command's process id, descriptor 3 is a pipe whose
# other end only our parent holds. The exit status is the command's.
trap '' HUP INT TERM
remove=$1 log=$2
shift 2

"$@" </dev/null >>"$log" 2>&1 3<&- &
command=$!
echo "$command"

orphan=
trap 'orphan=1' USR1
{
	read -r _ <&3
	kill -USR1 $$
	kill -INT "$command"
	sleep 10
	kill -QUIT "$command"
} >/dev/null 2>&1 &
watcher=$!

# A signal ends wait early, so ask until the command is really gone.
while :; do
	wait "$command"
	status=$?
	kill -0 "$command" 2>/dev/null || break
done
kill -KILL "$watcher" 2>/dev/null
if [ -n "$orphan" ] && [ -n "$remove" ]; then
	cd / && rm -rf -- "$remove"
fi
exit "$status"
