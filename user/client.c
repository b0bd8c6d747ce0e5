// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verbs that ask something of a running guest: start, stop, pause, resume, kill, console.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <linux/lamina.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "control.h"
#include "tool.h"

#define ANSWER_MS 30000
#define STOP_SECONDS 60
#define ESCAPE 0x01		/* Ctrl-A */

enum {
	KEY_DEVICE = 0x100,
	KEY_TIMEOUT,
};

struct client_args {
	const char *device;
	const char *name;
	unsigned long timeout;
};

static const struct argp_option options[] = {
	DEVICE_OPTION(KEY_DEVICE),
	{ 0 },
};

static const struct argp_option stop_options[] = {
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "How long to wait for the end (default: 60)", 0 },
	DEVICE_OPTION(KEY_DEVICE),
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct client_args *args = state->input;

	switch (key) {
	case KEY_DEVICE:
		args->device = arg;
		break;
	case KEY_TIMEOUT:
		if (parse_number(arg, 0, 86400, &args->timeout))
			argp_error(state, "--timeout: %s", fail_text());
		break;
	case ARGP_KEY_ARG:
		if (args->name)
			argp_error(state, "'%s' is too much: one guest at a time", arg);
		args->name = arg;
		break;
	case ARGP_KEY_END:
		if (!args->name)
			argp_error(state, "which guest? 'lamina list' names them");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

#define STATUS "\n\nExit status: 0 done; 1 no such guest, or it refused; 2 usage."

static int which(const char *name, struct lamina_name *wanted)
{
	unsigned long number;

	if (name[0] == '#') {
		if (parse_number(name + 1, 1, ~0ul, &number))
			return -1;
		wanted->id = number;
		wanted->flags = LAMINA_BY_ID;
		return 0;
	}
	if (strlen(name) >= sizeof(wanted->name))
		return fail("'%s' is too long for the name of a guest", name);
	memcpy(wanted->name, name, strlen(name));
	return 0;
}

/**
 * guest_open() - find a guest
 * @device: the hypervisor's node
 * @name: its name, or '#' and its number
 *
 * Return: a control handle, or -1 with a message.
 */
int guest_open(const char *device, const char *name)
{
	struct lamina_name wanted = { 0 };
	int fd, handle;

	if (which(name, &wanted))
		return -1;
	fd = open_device(device);
	if (fd < 0)
		return -1;
	handle = ioctl(fd, LAMINA_OPEN, &wanted);
	close(fd);
	if (handle >= 0)
		return handle;
	switch (errno) {
	case ENOENT:
		return fail("there is no guest '%s': 'lamina list' names those there are", name);
	case EINVAL:
		return fail("'%s' cannot be the name of a guest", name);
	case EPERM:
		return fail("the guest '%s' belongs to another user: ask as that user or as root", name);
	case ENOTTY:
		return fail("%s has no names for guests", device);
	default:
		return fail_errno("cannot find the guest '%s'", name);
	}
}

static int not_answered(const char *name)
{
	switch (errno) {
	case ESTALE:
		return fail("the guest '%s' has just ended", name);
	case ENOTCONN:
		return fail("the guest '%s' was not started by lamina and takes no requests: use the program that owns it ('lamina show' tells its pid)",
			    name);
	case ETIMEDOUT:
		return fail("the owner of '%s' does not answer: 'lamina kill' ends it", name);
	case EBUSY:
		return fail("the owner of '%s' has too many requests: try again", name);
	default:
		return fail_errno("cannot ask the owner of '%s'", name);
	}
}

/**
 * guest_call() - ask a guest's owner for something, and have the answer
 * @handle: from guest_open()
 * @name: the guest
 * @what: ASK_* and what belongs to it, less than LAMINA_DATA_BYTES
 * @fd, @fd2: go along; -1 for none
 * @timeout_ms: how long to wait, or 0: as usual
 * @answer: what the owner said, printable characters and newlines; NULL if that does not matter
 * @size: of @answer
 *
 * Return: 0, or -1 with a message and errno (EPROTO: the owner refused).
 */
int guest_call(int handle, const char *name, const char *what, int fd, int fd2,
	       unsigned int timeout_ms, char *answer, size_t size)
{
	struct lamina_message msg = { .timeout_ms = timeout_ms ? timeout_ms : ANSWER_MS };
	char *c;

	msg.len = (unsigned int)strlen(what) + 1;
	memcpy(msg.data, what, msg.len);
	if (fd >= 0)
		msg.fds[msg.nr_fds++] = fd;
	if (fd2 >= 0)
		msg.fds[msg.nr_fds++] = fd2;
	if (ioctl(handle, LAMINA_CALL, &msg))
		return not_answered(name);
	msg.data[sizeof(msg.data) - 1] = '\0';
	/* It comes from another's process and goes to this terminal. */
	for (c = (char *)msg.data; *c; c++)
		if (!isprint((unsigned char)*c) && *c != '\n')
			*c = '?';
	if (msg.data[0] == '+') {
		if (answer)
			snprintf(answer, size, "%s", (char *)msg.data + 1);
		return 0;
	}
	fail("%s: %s", name, (char *)msg.data + 1);
	errno = EPROTO;
	return -1;
}

/** guest_ask() - as guest_call(), where nothing but success matters */
int guest_ask(int handle, const char *name, const char *what, int fd)
{
	return guest_call(handle, name, what, fd, -1, 0, NULL, 0);
}

static int ask(const struct argp *argp, int argc, char **argv, const char *what)
{
	struct client_args args = { .device = default_device() };
	int handle, err;

	argp_parse(argp, argc, argv, 0, NULL, &args);
	handle = guest_open(args.device, args.name);
	if (handle < 0)
		return complain();
	err = guest_ask(handle, args.name, what, -1);
	close(handle);
	return err ? complain() : LM_EXIT_OK;
}

/** cmd_pause() - the verb */
int cmd_pause(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Let a guest stand still: its CPUs and its clock stop until 'lamina resume'.\v" STATUS,
	};

	return ask(&argp, argc, argv, ASK_PAUSE);
}

/** cmd_resume() - the verb */
int cmd_resume(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Let a paused guest go on.\v" STATUS,
	};

	return ask(&argp, argc, argv, ASK_RESUME);
}

/** cmd_start() - the verb */
int cmd_start(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Start a guest that 'lamina create' made.\v" STATUS,
	};

	return ask(&argp, argc, argv, ASK_START);
}

/* True if it ended in time. */
static bool ended(int handle, unsigned long seconds)
{
	struct pollfd fd = { .fd = handle };

	return poll(&fd, 1, (int)(seconds * 1000)) == 1;
}

/** cmd_stop() - the verb */
int cmd_stop(int argc, char **argv)
{
	static const struct argp argp = {
		.options = stop_options, .parser = parse, .args_doc = "NAME",
		.doc = "Press a guest's power button, so that its system ends, and wait for that.\v"
		       "A system that does not know power buttons goes on; 'lamina kill' ends it."
		       "\n\nExit status: 0 it has ended; 1 no such guest, or it has not ended in time; 2 usage.",
	};
	struct client_args args = { .device = default_device(), .timeout = STOP_SECONDS };
	int handle, status = LM_EXIT_OK;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	handle = guest_open(args.device, args.name);
	if (handle < 0 || guest_ask(handle, args.name, ASK_POWER, -1))
		return complain();
	if (!ended(handle, args.timeout)) {
		fail("%s has not ended within %lu s of pressing its power button: its system may not know it; 'lamina kill %s' ends it at once",
		     args.name, args.timeout, args.name);
		status = complain();
	}
	close(handle);
	return status;
}

/* The process is held before the list is asked again: a number alone may be another's by then. */
static int kill_owner(const char *name)
{
	int pid = guest_owner(name), err = -1, fd;

	fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (fd >= 0 && guest_owner(name) == pid)
		err = pidfd_send_signal(fd, SIGKILL, NULL, 0);
	if (fd >= 0)
		close(fd);
	return err;
}

/** cmd_kill() - the verb */
int cmd_kill(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "End a guest at once, as by pulling its plug.\v"
		       "An owner that takes no requests is sent SIGKILL." STATUS,
	};
	struct client_args args = { .device = default_device() };
	int handle, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	handle = guest_open(args.device, args.name);
	if (handle < 0)
		return complain();
	err = guest_ask(handle, args.name, ASK_KILL, -1);
	if (err && errno != ESTALE) {
		if (kill_owner(args.name))
			return complain();
	}
	if (!ended(handle, STOP_SECONDS)) {
		fail("%s does not end: see what its owner does ('lamina show %s' tells its pid)",
		     args.name, args.name);
		return complain();
	}
	close(handle);
	return LM_EXIT_OK;
}

/* ---- console ---- */

static struct termios before;
static bool raw;

static void restore(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	raw = false;
}

static void on_signal(int number)
{
	restore();
	signal(number, SIG_DFL);
	raise(number);
}

static void make_raw(void)
{
	static const int deadly[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGSEGV, SIGBUS };
	struct termios now;
	unsigned int i;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before))
		return;
	for (i = 0; i < ARRAY_SIZE(deadly); i++)
		signal(deadly[i], on_signal);
	atexit(restore);
	now = before;
	cfmakeraw(&now);
	raw = true;
	tcsetattr(STDIN_FILENO, TCSANOW, &now);
}

static void say(const char *text)
{
	fprintf(stderr, "lamina: %s%s", text, raw ? "\r\n" : "\n");
}

/* Send what was typed; false: Ctrl-A d. */
static bool send_typed(int fd, const char *typed, size_t len, bool *escaped)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char key = typed[i];

		if (raw && !*escaped && key == ESCAPE) {
			*escaped = true;
			continue;
		}
		if (*escaped) {
			*escaped = false;
			if (key == 'd')
				return false;
			if (key != 'a' && key != ESCAPE) {
				say("Ctrl-A then: d leaves the console, a sends Ctrl-A");
				continue;
			}
			key = ESCAPE;
		}
		if (send(fd, &key, 1, MSG_NOSIGNAL) < 0)
			return true;
	}
	return true;
}

static void talk(int fd)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	bool escaped = false;
	char data[4096];
	ssize_t got;

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents) {
			got = read(fd, data, sizeof(data));
			if (got <= 0) {
				say("the guest has ended");
				return;
			}
			if (write(STDOUT_FILENO, data, (size_t)got) < 0)
				return;
		}
		if (fds[1].revents) {
			got = read(STDIN_FILENO, data, sizeof(data));
			if (got <= 0)
				fds[1].fd = -1;	/* still show what comes */
			else if (!send_typed(fd, data, (size_t)got, &escaped))
				return;
		}
	}
}

/** cmd_console() - the verb */
int cmd_console(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Attach to the console of a guest that was started with --detach.\v"
		       "First comes the last of what it has printed. On a terminal, Ctrl-A d leaves the console; "
		       "the guest runs on." STATUS,
	};
	struct client_args args = { .device = default_device() };
	int handle, pair[2];

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	handle = guest_open(args.device, args.name);
	if (handle < 0)
		return complain();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		fail_errno("cannot make a socket");
		return complain();
	}
	if (guest_ask(handle, args.name, ASK_CONSOLE, pair[1]))
		return complain();
	close(handle);
	close(pair[1]);
	make_raw();
	talk(pair[0]);
	restore();
	return LM_EXIT_OK;
}
