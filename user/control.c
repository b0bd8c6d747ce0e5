// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner's end of a guest that has a name: a thread that answers requests, and the console of a guest
 * without a terminal.
 *
 * Such a guest's console is one end of a pair of sockets; this thread holds the other, keeps the last of
 * what came out, and passes both ways for whoever is attached. Nobody attached, or one who does not read,
 * never makes the guest wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/lamina.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "devices.h"
#include "machine.h"
#include "tool.h"

#define LOG_SIZE 16384

static struct {
	struct machine *m;
	int owner_fd, quit_fd;
	pthread_t thread;
	bool started;		/* the thread */
	bool held;		/* the guest waits for ASK_START */
	bool paused;
	int ready_fd;		/* who started a detached guest waits for a byte here; or -1 */
	int cord;		/* our end of the console's sockets, or -1 */
	int client;		/* who is attached, or -1 */
	size_t log_len;
	char log[LOG_SIZE];
} control = { .owner_fd = -1, .quit_fd = -1, .ready_fd = -1, .cord = -1, .client = -1 };

/* ---- the console ---- */

static void keep(const char *data, size_t len)
{
	size_t over;

	if (len > LOG_SIZE) {
		data += len - LOG_SIZE;
		len = LOG_SIZE;
	}
	over = control.log_len + len > LOG_SIZE ? control.log_len + len - LOG_SIZE : 0;
	memmove(control.log, control.log + over, control.log_len - over);
	control.log_len -= over;
	memcpy(control.log + control.log_len, data, len);
	control.log_len += len;
}

static void drop_client(void)
{
	if (control.client >= 0)
		close(control.client);
	control.client = -1;
}

static void to_client(const char *data, size_t len)
{
	if (control.client < 0 || !len)
		return;
	if (send(control.client, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		drop_client();
}

/** control_drain() - take what the guest has printed */
void control_drain(void)
{
	char data[4096];
	ssize_t got;

	if (control.cord < 0)
		return;
	while ((got = recv(control.cord, data, sizeof(data), MSG_DONTWAIT)) > 0) {
		keep(data, (size_t)got);
		to_client(data, (size_t)got);
	}
}

static void from_client(void)
{
	char data[256];
	ssize_t got = recv(control.client, data, sizeof(data), MSG_DONTWAIT);

	if (got > 0)
		/* What a guest that does not listen cannot hold is lost, as on a serial line. */
		got = send(control.cord, data, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (!got || errno != EAGAIN)
		drop_client();
}

static const char *attach_console(const struct lamina_message *msg)
{
	int type, fd;
	socklen_t len = sizeof(type);

	if (control.cord < 0)
		return "its console is on the terminal where it was started";
	if (control.client >= 0)
		return "its console is in use";
	if (msg->nr_fds != 1 || getsockopt(msg->fds[0], SOL_SOCKET, SO_TYPE, &type, &len) ||
	    type != SOCK_STREAM)
		return "no socket for the console";
	fd = fcntl(msg->fds[0], F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return "too many open files";
	control.client = fd;
	to_client(control.log, control.log_len);
	return NULL;
}

/* ---- requests ---- */

static void tell(unsigned int state, const char *reason)
{
	struct lamina_state s = { .state = state };

	snprintf(s.reason, sizeof(s.reason), "%s", reason);
	ioctl(control.m->vm_fd, LAMINA_SET_STATE, &s);
}

static const char *do_pause(void)
{
	if (control.held)
		return "it has not been started yet";
	if (control.paused)
		return "it is paused already";
	/* Again and again, since a vCPU may just be starting; or it may be waiting for room on the console. */
	do {
		if (machine_stopping(control.m))
			return "it is about to end";
		pause_begin(control.m);
		control_drain();
		poll(NULL, 0, 1);
	} while (!pause_complete(control.m));
	control.paused = true;
	tell(LAMINA_STATE_PAUSED, "");
	return NULL;
}

static const char *do_resume(void)
{
	if (control.held)
		return "it has not been started yet: 'lamina start' does that";
	if (!control.paused)
		return "it is not paused";
	control.paused = false;
	tell(LAMINA_STATE_RUNNING, "");
	pause_end(control.m);
	return NULL;
}

static const char *do_start(void)
{
	if (!control.held)
		return "it has been started already";
	control.held = false;
	pause_end(control.m);
	return NULL;
}

/* What follows if @what begins with @verb, else NULL. */
static const char *after(const char *what, const char *verb)
{
	size_t len = strlen(verb);

	return strncmp(what, verb, len) ? NULL : what + len;
}

/* What is about a device, or unknown. */
static const char *serve_devices(const struct lamina_message *msg, char *text, size_t size, bool *later)
{
	const char *what = (const char *)msg->data, *arg, *detach;
	struct machine *m = control.m;

	arg = after(what, ASK_DEVICE);
	if (arg)
		return device_describe(m, arg, text, size);
	arg = after(what, ASK_REMOVE);
	if (arg)
		return device_remove(m, arg, !control.held);
	arg = after(what, ASK_BALLOON);
	if (arg)
		return device_balloon(m, arg);
	arg = after(what, ASK_ATTACH);
	detach = after(what, ASK_DETACH);
	if (!arg && !detach)
		return "it does not know that request: it was started by another version of lamina";
	if (control.paused)
		return "it is paused: its devices change when 'lamina resume' lets it take part";
	if (arg)
		return device_attach(m, arg, msg->fds, msg->nr_fds, !control.held, text, size);
	return control.held ? device_remove(m, detach, false) :
			      device_detach(m, detach, msg->id, later);
}

/* NULL, or why not. */
static const char *serve(const struct lamina_message *msg, char *text, size_t size, bool *later)
{
	const char *what = (const char *)msg->data;

	if (!msg->len || what[msg->len - 1])
		return "no request";
	if (!strcmp(what, ASK_PAUSE))
		return do_pause();
	if (!strcmp(what, ASK_RESUME))
		return do_resume();
	if (!strcmp(what, ASK_START))
		return do_start();
	if (!strcmp(what, ASK_CONSOLE))
		return attach_console(msg);
	if (!strcmp(what, ASK_KILL)) {
		machine_stop(control.m, STOP_QUIT);
		return NULL;
	}
	if (!strcmp(what, ASK_POWER)) {
		if (control.held || control.paused)
			return "it does not run: resume or kill it";
		acpi_pm_press_power(control.m->pm);
		return NULL;
	}
	return serve_devices(msg, text, size, later);
}

/**
 * control_answer() - answer a request
 * @id: which
 * @why: what stood in the way, or NULL
 * @text: goes along with a success
 */
void control_answer(uint64_t id, const char *why, const char *text)
{
	struct lamina_message reply = { .id = id };

	snprintf((char *)reply.data, sizeof(reply.data), "%c%s", why ? '-' : '+', why ? why : text);
	reply.len = (unsigned int)strlen((char *)reply.data) + 1;
	/* Who asked may have given up. */
	if (write(control.owner_fd, &reply, sizeof(reply)) < 0)
		return;
}

static void answer(void)
{
	char text[LAMINA_DATA_BYTES - 1] = "";
	struct lamina_message msg;
	bool later = false;
	const char *why;
	unsigned int i;

	if (read(control.owner_fd, &msg, sizeof(msg)) != sizeof(msg))
		return;
	msg.len = msg.len < sizeof(msg.data) ? msg.len : sizeof(msg.data);
	why = serve(&msg, text, sizeof(text), &later);
	for (i = 0; i < msg.nr_fds && i < LAMINA_MAX_FDS; i++)
		close(msg.fds[i]);
	if (!later)
		control_answer(msg.id, why, text);
}

static void *control_main(void *unused)
{
	(void)unused;
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = control.quit_fd, .events = POLLIN },
			{ .fd = control.owner_fd, .events = POLLIN },
			{ .fd = control.cord, .events = POLLIN },
			{ .fd = control.client, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		if (fds[2].revents)
			control_drain();
		if (fds[3].revents && control.client >= 0)
			from_client();
		if (fds[1].revents)
			answer();
	}
}

/* ---- from power-on to power-off ---- */

static int set_name(struct machine *m)
{
	struct lamina_name name = { 0 };

	snprintf(name.name, sizeof(name.name), "%s", m->config->name);
	if (!ioctl(m->vm_fd, LAMINA_SET_NAME, &name))
		return 0;
	if (errno == ENOTTY)
		return 1;
	if (errno == EEXIST)
		return fail("there is a guest called '%s' already: see 'lamina list'", m->config->name);
	return fail_errno("cannot name the guest '%s'", m->config->name);
}

/**
 * control_open() - give a machine its name and answer requests; it has not been started
 * @m: the machine; without a name nothing is done
 * @held: it shall wait for ASK_START
 *
 * Return: 0, or -1 with a message.
 */
int control_open(struct machine *m, bool held)
{
	sigset_t before;
	int err;

	if (!m->config->named)
		return 0;
	err = set_name(m);
	if (err < 0)
		return -1;
	if (err)
		return held || control.cord >= 0 ?
			fail("%s has no names for guests, so this one could not be found again",
			     m->config->device) : 0;
	control.m = m;
	control.held = held;
	control.paused = false;
	if (held)
		pause_begin(m);
	control.owner_fd = ioctl(m->vm_fd, LAMINA_OWN, 0);
	control.quit_fd = eventfd(0, EFD_CLOEXEC);
	if (control.owner_fd < 0 || control.quit_fd < 0)
		return fail_errno("cannot take requests");
	/* Who asked may have given up between poll() and read(). */
	fcntl(control.owner_fd, F_SETFL, O_NONBLOCK);
	signals_to_loop(&before);
	err = pthread_create(&control.thread, NULL, control_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		errno = err;
		return fail_errno("cannot start the thread that takes requests");
	}
	control.started = true;
	return 0;
}

static void tell_end(struct machine *m)
{
	static const char *const reasons[] = {
		[STOP_NONE] = "not started",
		[STOP_POWER_OFF] = "power-off",
		[STOP_RESET] = "reset",
		[STOP_QUIT] = "killed",
		[STOP_SHUTDOWN] = "triple fault",
		[STOP_ENTRY] = "entry failed",
		[STOP_INTERNAL] = "internal error",
		[STOP_CRASHED] = "guest reported a crash",
	};
	int why = atomic_load(&m->stop);
	char text[32];

	if (why == STOP_SIGNAL) {
		snprintf(text, sizeof(text), "signal %d", m->stop_signal);
		tell(LAMINA_STATE_STOPPED, text);
		return;
	}
	tell((unsigned int)why >= STOP_SHUTDOWN ? LAMINA_STATE_CRASHED : LAMINA_STATE_STOPPED, reasons[why]);
}

/**
 * control_close() - tell how the machine ended, and take no more requests
 * @m: the machine, before it is freed
 */
void control_close(struct machine *m)
{
	uint64_t one = 1;

	if (control.started) {
		if (write(control.quit_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(control.thread, NULL);
		/* Afterwards, so that this is the last that is told. */
		tell_end(m);
	}
	control.started = false;
	/* A vCPU may be answering for a device. */
	pthread_mutex_lock(&m->io_lock);
	if (control.owner_fd >= 0)
		close(control.owner_fd);
	if (control.quit_fd >= 0)
		close(control.quit_fd);
	control.owner_fd = control.quit_fd = -1;
	pthread_mutex_unlock(&m->io_lock);
}

/* ---- without a terminal ---- */

/* In the first process: wait until the guest runs or could not. */
static void wait_ready(int fd, pid_t child)
{
	int status = 0;
	char byte;

	if (read(fd, &byte, 1) == 1)
		_exit(LM_EXIT_OK);
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : LM_EXIT_FAILED);
}

/**
 * control_detach() - go on in a process of its own without a terminal
 *
 * The first process waits for control_ready() and ends.
 *
 * Return: 0 in the new process, or -1 with a message.
 */
int control_detach(void)
{
	int ready[2], pair[2];
	pid_t child;

	if (pipe2(ready, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fail_errno("cannot make a console");
	child = fork();
	if (child < 0)
		return fail_errno("cannot start a process");
	if (child) {
		close(ready[1]);
		wait_ready(ready[0], child);
	}
	close(ready[0]);
	control.ready_fd = ready[1];
	control.cord = pair[0];
	setsid();
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	if (dup2(pair[1], STDIN_FILENO) < 0 || dup2(pair[1], STDOUT_FILENO) < 0)
		return fail_errno("cannot make a console");
	close(pair[1]);
	return 0;
}

/** control_ready() - the guest runs: who waits for it need not any more */
void control_ready(void)
{
	if (control.ready_fd < 0)
		return;
	/* From now on messages go to the console, too. */
	dup2(STDOUT_FILENO, STDERR_FILENO);
	if (write(control.ready_fd, "", 1) < 0)
		fail_errno("nobody waits");
	close(control.ready_fd);
	control.ready_fd = -1;
}
