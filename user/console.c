// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's console on our terminal: raw while the guest runs, as it was before whenever we end, are
 * stopped or crash. The loop here serves what must not keep a vCPU waiting: typed bytes, output, the
 * clock's interrupts, and signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "console.h"
#include "machine.h"
#include "tool.h"

#define FLUSH_MS 4		/* how long the guest's output may wait for more */
#define FOREGROUND_MS 300
#define ESCAPE 0x01		/* Ctrl-A */

static struct {
	bool tty;
	bool eof;
	bool escaped;
	volatile sig_atomic_t raw;
	struct termios before;
	int out_fd;
	int signal_fd;
	unsigned int held_len;	/* input that the guest has not taken yet */
	uint8_t held[64];
} console;

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void set_raw(void)
{
	struct termios raw = console.before;

	if (!console.tty || console.raw || !in_foreground())
		return;
	cfmakeraw(&raw);
	console.raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Safe in a signal handler. */
static void restore(void)
{
	if (!console.raw)
		return;
	console.raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &console.before);
}

static void on_death(int signal, siginfo_t *info, void *context)
{
	char text[96];
	int len;

	(void)context;
	restore();
	if (signal == SIGSYS) {
		len = snprintf(text, sizeof(text), "lamina: system call %d is not one that it may use\n",
			       info->si_syscall);
		if (write(STDERR_FILENO, text, (size_t)len) < 0)
			_exit(LM_EXIT_SIGNAL + SIGSYS);
	}
	raise(signal);		/* the handler is gone (SA_RESETHAND): this ends us */
}

/* Our own non-blocking description of the output, so that the shell's stays as it is. */
static int open_output(void)
{
	struct stat st;
	int fd = -1;

	if (!fstat(STDOUT_FILENO, &st) && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 ? fd : STDOUT_FILENO;
}

static void block_signals(sigset_t *set)
{
	unsigned int i;

	sigemptyset(set);
	for (i = 0; i < ARRAY_SIZE(handled); i++)
		sigaddset(set, handled[i]);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/**
 * console_open() - take the terminal and the signals
 *
 * Return: 0, or -1 with a message. The terminal goes back by itself when the process ends.
 */
int console_open(void)
{
	struct sigaction death = { .sa_sigaction = on_death,
				   .sa_flags = SA_RESETHAND | SA_NODEFER | SA_SIGINFO };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	unsigned int i;
	sigset_t set;

	block_signals(&set);
	console.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (console.signal_fd < 0)
		return fail_errno("cannot take signals");
	console.tty = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &console.before);
	console.out_fd = open_output();
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTTOU, &ignore, NULL);
	for (i = 0; i < ARRAY_SIZE(fault_signals); i++)
		sigaction(fault_signals[i], &death, NULL);
	atexit(restore);
	set_raw();
	return 0;
}

/** console_close() - give the terminal back */
void console_close(void)
{
	restore();
}

/** console_output() - where the guest's output goes */
int console_output(void)
{
	return console.out_fd;
}

static void say(const char *text)
{
	fputs(text, stderr);
	fputs(console.raw ? "\r\n" : "\n", stderr);
}

/* Handle one key after Ctrl-A; true if it is the guest's after all. */
static bool escape(struct machine *m, uint8_t key)
{
	switch (key) {
	case 'x':
		machine_stop(m, STOP_QUIT);
		return false;
	case 'a':
	case ESCAPE:
		return true;
	case 'p':
		say("lamina: power button pressed");
		acpi_pm_press_power(m->pm);
		return false;
	default:
		say("lamina: Ctrl-A then: x ends the guest, p presses its power button, a sends Ctrl-A");
		return false;
	}
}

static void feed(struct machine *m)
{
	int took = vconsole_receive(m, console.held, console.held_len);

	if (took < 0)
		took = (int)serial_receive(m->serial, console.held, console.held_len);
	console.held_len -= (unsigned int)took;
	memmove(console.held, console.held + took, console.held_len);
}

/* On a terminal, keys are always read, since Ctrl-A must work; what nobody takes is dropped at last. */
static void read_input(struct machine *m)
{
	uint8_t typed[sizeof(console.held)];
	ssize_t got, i;

	got = read(STDIN_FILENO, typed, sizeof(typed));
	if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
		console.eof = true;
		return;
	}
	for (i = 0; i < got; i++) {
		uint8_t key = typed[i];

		if (console.tty && !console.escaped && key == ESCAPE) {
			console.escaped = true;
			continue;
		}
		if (console.escaped) {
			console.escaped = false;
			if (!escape(m, key))
				continue;
			key = ESCAPE;
		}
		if (console.held_len < sizeof(console.held))
			console.held[console.held_len++] = key;
	}
}

static void tell_size(struct machine *m)
{
	struct winsize size;

	if (console.tty && !ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		vconsole_resize(m, size.ws_col, size.ws_row);
}

static void read_signal(struct machine *m)
{
	struct signalfd_siginfo info;

	while (read(console.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTSTP:
			restore();
			raise(SIGSTOP);
			set_raw();
			break;
		case SIGCONT:
			set_raw();
			break;
		case SIGWINCH:
			tell_size(m);
			break;
		default:
			m->stop_signal = (int)info.ssi_signo;
			machine_stop(m, STOP_SIGNAL);
			break;
		}
	}
}

static bool wants_input(void)
{
	if (console.eof)
		return false;
	return console.tty ? in_foreground() : !console.held_len;
}

/**
 * console_serve() - serve a running machine until it stops
 * @m: the machine
 */
void console_serve(struct machine *m)
{
	bool output = false;
	uint64_t events;

	tell_size(m);
	while (!machine_stopping(m)) {
		int wait = rtc_tick(m->rtc);
		struct pollfd fds[] = {
			{ .fd = m->event_fd, .events = POLLIN },
			{ .fd = console.signal_fd, .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = m->loop_fd, .events = POLLIN },
		};

		if (console.held_len)
			feed(m);
		if (output)
			wait = FLUSH_MS;
		if (wants_input())
			set_raw();
		else
			fds[2].fd = -1;
		/* A shell may put us into the foreground without a word. */
		if (console.tty && fds[2].fd < 0 && (wait < 0 || wait > FOREGROUND_MS))
			wait = FOREGROUND_MS;
		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			break;
		if (fds[0].revents && read(m->event_fd, &events, sizeof(events)) > 0 && !output) {
			output = true;
			continue;	/* give the guest a moment to send more */
		}
		if (fds[1].revents)
			read_signal(m);
		if (fds[3].revents)
			loop_serve(m);
		if (fds[2].revents)
			read_input(m);
		if (output) {
			output = vconsole_flush(m);
			output = serial_flush(m->serial) || output;
		}
	}
}
