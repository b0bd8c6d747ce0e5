#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests by name: every verb that finds a running guest, and what it says when it
# cannot.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/user/build/ptytalk
# on: amd intel-no-apicv
# timeout: 400

. tests/lib.sh
. tests/linux.sh

# Numbers that go up as long as the guest runs, whether or not anybody reads them.
initrd count <<'END'
while :; do
	i=$((i + 1))
	echo "job: at $i"
	sleep 0.2
done &
while read -r line; do
	echo "job: heard $line"
	[ "$line" != end ] || exit
done
END
options="--kernel ${kernel:-/guest/vmlinux} --initrd $initrd --mem 128M"

# state NAME: what lamina list says of a guest
state() {
	lamina list | awk -v name="$1" '$1 == name { print $2 }'
}

in_state() {
	[ "$(state "$1")" = "$2" ]
}

unlisted() {
	[ -z "$(state "$1")" ]
}

# peek NAME: the last number on its console
peek() {
	rm -f "$work/peek"
	lamina console "$1" </dev/null >"$work/peek" 2>&1 &
	peeking=$!
	wait_for 30 grep -q 'job: at' "$work/peek"
	sleep 1		# the rest of what was kept
	kill $peeking 2>/dev/null
	wait $peeking 2>/dev/null
	tr -d '\r' <"$work/peek" | sed -n 's/^job: at //p' | tail -n 1
}

beyond() {
	[ "$(peek "$1")" -gt "$2" ] 2>/dev/null
}

# field NAME KEY: of lamina show
field() {
	lamina show "$1" | awk -v key="$2" '$1 == key { print $2 }'
}

is 'no guests: an empty list' "$(lamina list)" ''
is 'and in JSON' "$(lamina list --json | tr -d ' \n')" '[]'

lamina events >"$work/events" &
events=$!
lamina events --json >"$work/events.json" &
json_events=$!
sleep 1

# Two guests.
# shellcheck disable=SC2086 # options
passes 'run --detach' lamina run --detach --name one $options --append "console=ttyS0 quiet ${quick}lm.run=sh+/job"
# shellcheck disable=SC2086
passes 'create' lamina create two $options --cpus "$smp" --append "console=ttyS0 quiet ${quick}lm.run=sh+/job"
text=$(lamina list)
diag "$text"
like 'list: the first' "$text" '^one +running +1 +128M +[0-9:]+ +[0-9]+ root$'
like 'list: the second waits' "$text" "^two +created +$smp +128M +0:00:00 "
is 'show: state' "$(field two state)" created
is 'show: CPUs' "$(field two vcpus)" "$smp"
is 'a guest that waits has no exits' "$(field two exits)" 0
like 'show: JSON' "$(lamina show two --json)" '"state": *"created"'
like 'list: JSON' "$(lamina list --json)" '"name": *"one"'
exits 1 'pause before start is refused' lamina pause two
like 'pause before start: why' "$output" '^lamina: two: it has not been started yet'
exits 1 'resume before start is refused' lamina resume two
passes start lamina start two
exits 1 'start again is refused' lamina start two
passes 'started: it runs' wait_for 60 in_state two running
# shellcheck disable=SC2086
exits 1 'the name is taken' lamina run --detach --name one $options
is 'the name is taken: why' "$output" \
	"lamina: there is a guest called 'one' already: see 'lamina list'"

# Both get as far as their job; then one stands still.
passes 'console shows what the guest prints' wait_for "$PATIENCE" beyond one 0
passes 'and the second' wait_for "$PATIENCE" beyond two 0
passes pause lamina pause one
is 'paused: list' "$(state one)" paused
exits 1 'pause again is refused' lamina pause one
like 'pause again: why' "$output" 'it is paused already$'
at=$(peek one) exits_at=$(field one exits) other=$(peek two)
passes 'the other guest goes on' wait_for 60 beyond two "$other"
is 'the paused guest stands still' "$(peek one)" "$at"
is 'and its exits do' "$(field one exits)" "$exits_at"
passes resume lamina resume one
passes 'the guest goes on' wait_for 60 beyond one "$at"
is 'resumed: list' "$(state one)" running
exits 1 'resume again is refused' lamina resume one

# The console.
talk=tests/user/build/ptytalk
output=$($talk 120 'expect=job: at' raw 'send=hello^M' 'expect=job: heard hello' 'send=^Ah' \
	'expect=leaves the console' 'send=^Ad' -- lamina console one 2>&1)
got=$?
is 'console on a terminal: typed and left by Ctrl-A d' $got 0
[ $got -eq 0 ] || diag "$(printf '%s' "$output" | tail -n 5)"
is 'the guest runs on' "$(state one)" running
lamina console one </dev/null >"$work/held" 2>&1 &
held=$!
passes 'another console' wait_for 30 test -s "$work/held"
exits 1 'a third is refused' lamina console one
like 'a third: why' "$output" '^lamina: one: its console is in use$'
kill $held
wait $held 2>/dev/null

# A guest on a terminal is found, too.
words='lm.run=read+-r+x' start three --mem 128M
if running three '^guest: up'; then
	is 'a guest in the foreground is listed' "$(state three)" running
	exits 1 'its console is elsewhere' lamina console three
	like 'its console: why' "$output" 'on the terminal where it was started$'
	passes 'it can be paused' lamina pause three
	passes 'and resumed' lamina resume three
	finish three
	is 'and ends as it should' "$status" 0
else
	drop three
fi

# Another knows power buttons.
initrd button <<'END'
modprobe -a button evdev
echo job: listens
head -c 24 /dev/input/event0 >/dev/null
echo job: told
END
words='lm.run=sh+/job' start four --mem 128M
if running four '^job: listens'; then
	passes 'stop' lamina stop four
	finish four
	is 'stop: it ends as it should' "$status $(lines "$text" '^job: told')" '0 1'
	passes 'stop: not listed' unlisted four
else
	drop four
fi

# Ends.
exits 1 'stop: this guest does not know power buttons' lamina stop --timeout 1 one
like 'stop: the way out' "$output" "lamina kill one"
passes kill lamina kill one
passes 'killed: not listed' unlisted one
exits 1 'killed: not found' lamina show one
is 'killed: what show says' "$output" \
	"lamina: there is no guest 'one': 'lamina list' names those there are"
pid=$(field two owner)
kill -9 "$pid"
wait_for 30 gone "$pid"
passes 'a guest whose tool was killed is gone' wait_for 10 unlisted two
is 'nothing is left' "$(lamina list)" ''

# What was seen of all that.
kill $events $json_events
wait $events $json_events 2>/dev/null
seen() {
	awk -v name="$1" '$2 == name { printf "%s%s ", $1, (NF > 4 ? "(" $NF ")" : "") }' "$work/events"
}
is 'events of the first' "$(seen one)" 'named running paused running stopped(killed) gone(killed) '
is 'events of the second' "$(seen two)" 'named running gone '
is 'events of the third' "$(seen three)" \
	'named running paused running stopped(power-off) gone(power-off) '
is 'events of the fourth' "$(seen four)" 'named running stopped(power-off) gone(power-off) '
like 'events of guests that have no name yet' "$(cat "$work/events")" '^created +#[0-9]+ pid [0-9]+$'
is 'as many in JSON' "$(grep -c '^{.*"event":.*}$' "$work/events.json")" \
	"$(grep -c '' "$work/events")"
diag "$(cut -c 1-200 "$work/events")"

# Without a guest, and with wrong arguments.
for verb in start stop pause resume kill console show; do
	exits 1 "$verb: no such guest" lamina $verb nobody
	is "$verb: what it says" "$output" \
		"lamina: there is no guest 'nobody': 'lamina list' names those there are"
	exits 2 "$verb: no name" lamina $verb
	exits 2 "$verb: two names" lamina $verb a b
	exits 2 "$verb: unknown option" lamina $verb a --frob
	exits 0 "$verb: help" lamina $verb --help
done
exits 1 'a number that nobody has' lamina kill '#999999'
exits 1 'a number that is none' lamina kill '#x'
exits 2 'stop: timeout' lamina stop --timeout x a
for verb in list events; do
	exits 2 "$verb: an argument" lamina $verb a
	exits 0 "$verb: help" lamina $verb --help
done
exits 2 'events: count' lamina events --count 0
exits 2 'create: no name' lamina create --kernel x
exits 2 'create: no kernel' lamina create a
exits 2 'create: not a name' lamina create a/b --kernel x
exits 2 'run --detach: no name' lamina run --detach --kernel x
exits 1 'run --detach: no such kernel' lamina run --detach --name a --kernel /nonexistent
like 'run --detach: what it says' "$output" '^lamina: .*/nonexistent'

passes 'the module unloads' rmmod lamina
exits 1 'list without the module' lamina list
like 'list without the module: the way out' "$output" 'lamina load'
