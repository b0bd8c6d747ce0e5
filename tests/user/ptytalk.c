// SPDX-License-Identifier: GPL-2.0-only
/*
 * Talks to a program on a terminal of its own.
 *
 * ptytalk SECONDS [STEP]... -- COMMAND [ARG]...
 *
 * Steps, one after the other: "expect=TEXT" waits for the text, "send=TEXT" types it (^X for a control
 * character), "size=COLUMNSxROWS" changes the terminal's size, "signal=N" sends a signal to the command, "raw" and "cooked" check the terminal's mode,
 * "pause=MS" waits. Then it waits for the command's end and checks that the terminal is as it was.
 * What the command prints is printed. Exit status: the command's (128 + N for a signal), 124 when a step
 * or the end does not come in time, 125 when the terminal is not in the mode that it should be in.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

static char seen[1 << 20];
static size_t seen_len, seen_from;
static time_t deadline;
static int master, slave;
static pid_t child;
static int wait_status;
static int gone;

static void give_up(int status, const char *why, const char *what)
{
	fprintf(stderr, "ptytalk: %s%s\n", why, what);
	kill(-child, SIGKILL);
	exit(status);
}

static void pump(int ms)
{
	struct pollfd fd = { .fd = master, .events = POLLIN };
	ssize_t got;

	if (time(NULL) > deadline)
		give_up(124, "out of time", "");
	if (poll(&fd, 1, ms) <= 0 || seen_len == sizeof(seen) - 1)
		return;
	got = read(master, seen + seen_len, sizeof(seen) - 1 - seen_len);
	if (got <= 0)
		return;
	if (write(STDOUT_FILENO, seen + seen_len, (size_t)got) < 0)
		return;
	seen_len += (size_t)got;
}

static int ended(void)
{
	if (!gone && waitpid(child, &wait_status, WNOHANG) == child)
		gone = 1;
	return gone;
}

static void expect(const char *text)
{
	char *at;

	while (!(at = memmem(seen + seen_from, seen_len - seen_from, text, strlen(text)))) {
		if (ended()) {
			pump(10);
			if (!memmem(seen + seen_from, seen_len - seen_from, text, strlen(text)))
				give_up(124, "ended without saying ", text);
		}
		pump(50);
	}
	seen_from = (size_t)(at - seen) + strlen(text);
}

static void send_text(const char *text)
{
	char c;

	for (; *text; text++) {
		c = *text;
		if (c == '^' && text[1])
			c = (char)(*++text & 0x1f);
		if (write(master, &c, 1) != 1)
			give_up(124, "cannot type", "");
	}
}

static void check_raw(int want)
{
	struct termios now;
	int i, raw = -1;

	/* The program may be about to change it. */
	for (i = 0; i < 100 && raw != want; i++) {
		tcgetattr(slave, &now);
		raw = !(now.c_lflag & (ICANON | ECHO | ISIG));
		if (raw != want)
			pump(50);
	}
	if (raw != want)
		give_up(125, "the terminal is not ", want ? "raw" : "cooked");
}

static void set_size(const char *text)
{
	struct winsize size = { 0 };

	if (sscanf(text, "%hux%hu", &size.ws_col, &size.ws_row) != 2 ||
	    ioctl(master, TIOCSWINSZ, &size))
		give_up(124, "cannot set the size ", text);
}

static void take(const char *what)
{
	if (!strncmp(what, "expect=", 7))
		expect(what + 7);
	else if (!strncmp(what, "send=", 5))
		send_text(what + 5);
	else if (!strncmp(what, "size=", 5))
		set_size(what + 5);
	else if (!strncmp(what, "signal=", 7))
		kill(child, atoi(what + 7));
	else if (!strncmp(what, "pause=", 6))
		pump(atoi(what + 6));
	else if (!strcmp(what, "raw"))
		check_raw(1);
	else if (!strcmp(what, "cooked"))
		check_raw(0);
	else
		give_up(2, "no such step: ", what);
}

int main(int argc, char **argv)
{
	static struct termios before, after;	/* static: their padding is compared, too */
	int i;

	if (argc < 3)
		return 2;
	deadline = time(NULL) + atoi(argv[1]);
	if (openpty(&master, &slave, NULL, NULL, NULL) || tcgetattr(slave, &before))
		return 2;
	for (i = 2; i < argc && strcmp(argv[i], "--"); i++)
		;
	if (i + 1 >= argc)
		return 2;
	child = fork();
	if (child == 0) {
		close(master);
		login_tty(slave);
		execvp(argv[i + 1], argv + i + 1);
		_exit(127);
	}
	for (i = 2; strcmp(argv[i], "--"); i++)
		take(argv[i]);
	while (!ended())
		pump(50);
	while (seen_len < sizeof(seen) - 1 && poll(&(struct pollfd){ .fd = master, .events = POLLIN }, 1, 0) > 0) {
		size_t had = seen_len;

		pump(0);
		if (seen_len == had)
			break;
	}
	tcgetattr(slave, &after);
	if (memcmp(&before, &after, sizeof(before)))
		give_up(125, "the terminal is not as it was", "");
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
