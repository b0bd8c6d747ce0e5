// SPDX-License-Identifier: GPL-2.0-only
/* VMs by name: LAMINA_SET_NAME, LAMINA_OPEN, the control handle and its owner. */
#include "api.h"
#include <linux/lamina.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* All that fits, without a 0 at the end if need be. */
static void put_name(struct lamina_name *n, const char *name)
{
	size_t i;

	for (i = 0; name[i] && i < sizeof(n->name); i++)
		n->name[i] = name[i];
}

static int set_name(int fd, uint64_t id, const char *name)
{
	struct lamina_name n = { .id = id };

	put_name(&n, name);
	return ioctl(fd, LAMINA_SET_NAME, &n);
}

static int open_name(const char *name)
{
	struct lamina_name n = { 0 };

	put_name(&n, name);
	return ioctl(e.sys, LAMINA_OPEN, &n);
}

static int call(int handle, const char *text, int fd, unsigned int ms, struct lamina_message *m)
{
	memset(m, 0, sizeof(*m));
	m->timeout_ms = ms;
	m->len = strlen(text) + 1;
	memcpy(m->data, text, m->len);
	if (fd >= 0) {
		m->nr_fds = 1;
		m->fds[0] = fd;
	}
	return ioctl(handle, LAMINA_CALL, m);
}

static void need_names(void)
{
	make_vm();
	if (set_name(e.vm, 0, "") < 0 && errno == ENOTTY)
		skip("not this hypervisor");
}

static void naming(void)
{
	char longest[LAMINA_NAME_BYTES + 1];
	struct lamina_name n = { .name = "flags", .flags = 1 };
	int vm2;

	need_names();
	OK(vm2 = ioctl(e.sys, KVM_CREATE_VM, 0));
	ERR(set_name(e.vm, 0, ""), EINVAL);
	ERR(set_name(e.vm, 0, "a/b"), EINVAL);
	ERR(set_name(e.vm, 0, "a b"), EINVAL);
	ERR(set_name(e.vm, 0, "#7"), EINVAL);
	ERR(set_name(e.vm, 0, "a\tb"), EINVAL);
	ERR(set_name(e.vm, 0, "\xc3\xa4"), EINVAL);
	ERR(set_name(e.vm, 1, "id"), EINVAL);
	ERR(ioctl(e.vm, LAMINA_SET_NAME, &n), EINVAL);
	n.flags = 0;
	n.uid = 1;
	ERR(ioctl(e.vm, LAMINA_SET_NAME, &n), EINVAL);
	n.uid = 0;
	n.name[LAMINA_NAME_BYTES - 1] = 1;
	ERR(ioctl(e.vm, LAMINA_SET_NAME, &n), EINVAL);
	ERR(ioctl(e.vm, LAMINA_SET_NAME, BAD_PTR), EFAULT);
	memset(longest, 'x', sizeof(longest));
	longest[LAMINA_NAME_BYTES] = 0;
	ERR(set_name(e.vm, 0, longest), EINVAL);
	longest[LAMINA_NAME_BYTES - 1] = 0;
	OK(set_name(e.vm, 0, longest));
	ERR(set_name(vm2, 0, longest), EEXIST);
	OK(set_name(e.vm, 0, "api-one"));
	OK(set_name(e.vm, 0, "api-one"));
	OK(set_name(vm2, 0, longest));
	ERR(set_name(vm2, 0, "api-one"), EEXIST);
	ERR(set_name(e.sys, 0, "nobody"), EINVAL);
	ERR(set_name(e.sys, 1ull << 60, "nobody"), ENOENT);
	OK(close(e.vm));
	OK(set_name(vm2, 0, "api-one"));
}

static void opening(void)
{
	struct lamina_name n = { .name = "api-open", .flags = LAMINA_BY_UID };
	struct lamina_message m;
	int h;

	need_names();
	OK(set_name(e.vm, 0, "api-open"));
	ERR(open_name(""), EINVAL);
	ERR(open_name("a/b"), EINVAL);
	ERR(open_name("api-closed"), ENOENT);
	ERR(ioctl(e.sys, LAMINA_OPEN, BAD_PTR), EFAULT);
	OK(h = ioctl(e.sys, LAMINA_OPEN, &n));		/* root's: uid 0 */
	OK(close(h));
	n.uid = 12345;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), ENOENT);
	n.flags = 0;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), EINVAL);
	n.uid = 0;
	n.flags = 4;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), EINVAL);
	n.flags = LAMINA_BY_ID;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), EINVAL);	/* a name, too */
	memset(&n, 0, sizeof(n));
	n.flags = LAMINA_BY_ID;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), EINVAL);
	n.id = 1ull << 60;
	n.name[5] = 'x';
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), EINVAL);
	n.name[5] = 0;
	ERR(ioctl(e.sys, LAMINA_OPEN, &n), ENOENT);
	OK(h = open_name("api-open"));
	IS(fcntl(h, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	/* a handle is not a VM */
	ERR(ioctl(h, KVM_CREATE_VCPU, 0), ENOTTY);
	ERR(ioctl(h, LAMINA_OWN, 0), ENOTTY);
	ERR(call(h, "x", -1, 10, &m), ENOTCONN);
	m.nr_fds = 5;
	ERR(ioctl(h, LAMINA_CALL, &m), EINVAL);
	ERR(ioctl(h, LAMINA_CALL, BAD_PTR), EFAULT);
	ERR(call(h, "x", 999, 10, &m), EBADF);
	ERR(call(h, "x", -1, LAMINA_MAX_TIMEOUT_MS + 1, &m), EINVAL);
	/* and does not keep it */
	OK(close(e.vm));
	ERR(call(h, "x", -1, 10, &m), ESTALE);
	ERR(open_name("api-open"), ENOENT);
	IS(poll(&(struct pollfd){ .fd = h }, 1, 0), 1);
}

static void others(void)
{
	int ready[2], status, h;
	struct lamina_name n = { .flags = LAMINA_BY_UID, .name = "api-mine" };
	pid_t pid;
	char c;

	need_names();
	OK(set_name(e.vm, 0, "api-mine"));
	OK(pipe(ready));
	pid = fork();
	if (!pid) {
		int bad = 0;

		/* other users have names of their own, and see nothing of these */
		bad |= !!setuid(1234);
		bad |= (!(open_name("api-mine") < 0 && errno == ENOENT)) << 1;
		bad |= (!(ioctl(e.sys, LAMINA_OPEN, &n) < 0 && errno == EPERM)) << 2;
		bad |= (!(set_name(e.sys, 1, "x") < 0 && (errno == EPERM || errno == ENOENT))) << 3;
		h = ioctl(e.sys, KVM_CREATE_VM, 0);
		bad |= (h < 0 || set_name(h, 0, "api-mine")) << 4;
		if (write(ready[1], "x", 1) != 1 || bad)
			_exit(bad ? bad : 64);
		pause();
	}
	IS(read(ready[0], &c, 1), 1);
	OK(h = open_name("api-mine"));
	OK(close(h));
	n.uid = 1234;
	OK(h = ioctl(e.sys, LAMINA_OPEN, &n));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	IS(WIFSIGNALED(status) ? 0 : WEXITSTATUS(status), 0);
	IS(poll(&(struct pollfd){ .fd = h }, 1, 10000), 1);
}

static void stale(void)
{
	struct lamina_message m;
	int ready[2], h, i;
	char name[32], c;
	pid_t pid;

	need_names();
	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "api-stale-%d", i & 1);
		OK(pipe(ready));
		pid = fork();
		if (!pid) {
			int vm = ioctl(e.sys, KVM_CREATE_VM, 0);

			if (set_name(vm, 0, name) || ioctl(vm, LAMINA_OWN, 0) < 0 ||
			    write(ready[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
		IS(read(ready[0], &c, 1), 1);
		OK(h = open_name(name));
		if (i & 2)
			ERR(call(h, "x", -1, 5, &m), ETIMEDOUT);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		IS(poll(&(struct pollfd){ .fd = h }, 1, 10000), 1);
		ERR(call(h, "x", -1, 10000, &m), ESTALE);
		ERR(open_name(name), ENOENT);
		OK(close(h));
	}
}

/* A child that has the owner's descriptors keeps the VM, but nobody can run or serve it. */
static void orphan(void)
{
	struct lamina_message m;
	int ready[2], h, vm, own;
	pid_t pid, child = 0;

	need_names();
	OK(pipe(ready));
	pid = fork();
	if (!pid) {
		vm = ioctl(e.sys, KVM_CREATE_VM, 0);
		own = ioctl(vm, LAMINA_OWN, 0);
		child = set_name(vm, 0, "api-orphan") || own < 0 ? -1 : fork();
		if (!child)
			for (;;)
				pause();
		if (write(ready[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		pause();
	}
	IS(read(ready[0], &child, sizeof(child)), sizeof(child));
	TRUE(child > 0);
	OK(h = open_name("api-orphan"));
	ERR(call(h, "x", -1, 5, &m), ETIMEDOUT);
	IS(poll(&(struct pollfd){ .fd = h }, 1, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	IS(poll(&(struct pollfd){ .fd = h }, 1, 10000), 1);
	ERR(call(h, "x", -1, 1000, &m), ESTALE);
	ERR(open_name("api-orphan"), ENOENT);
	if (child > 0)
		kill(child, SIGKILL);
}

static int owner, handle;
static void *volatile bad_pointer = BAD_PTR;	/* the compiler need not know */

/* Answers each request by its own text; one descriptor gets a word written into it. */
static void *serve(void *arg)
{
	long *served = arg;
	struct lamina_message m;

	while (read(owner, &m, sizeof(m)) == sizeof(m)) {
		if (m.nr_fds) {
			if (write(m.fds[0], "word", 4) != 4)
				return (void *)1;
			if (!(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC))
				return (void *)2;
			close(m.fds[0]);
		}
		if (m.pid != (uint32_t)getpid() || m.uid || m.timeout_ms)
			return (void *)3;
		m.pid = m.uid = m.nr_fds = 0;
		memset(m.fds, 0, sizeof(m.fds));
		if (!strcmp((char *)m.data, "silence"))
			continue;
		(*served)++;
		if (write(owner, &m, sizeof(m)) != sizeof(m) && errno != ENOENT)
			return (void *)4;
		if (!strcmp((char *)m.data, "end"))
			return NULL;
	}
	return (void *)5;
}

static void *client(void *arg)
{
	long *good = arg;
	struct lamina_message m;
	char text[32];
	int i;

	for (i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "%lx-%d", (long)pthread_self(), i);
		if (call(handle, text, -1, 20000, &m) || strcmp((char *)m.data, text))
			return (void *)1;
		(*good)++;
	}
	return NULL;
}

static void calls(void)
{
	struct lamina_message m;
	pthread_t t, c[4];
	long served = 0, good[4] = { 0 };
	int p[2], i;
	char word[8] = "";
	void *r;

	need_names();
	OK(set_name(e.vm, 0, "api-calls"));
	ERR(ioctl(e.vm, LAMINA_OWN, 1), EINVAL);
	OK(owner = ioctl(e.vm, LAMINA_OWN, 0));
	ERR(ioctl(e.vm, LAMINA_OWN, 0), EBUSY);
	OK(handle = open_name("api-calls"));
	ERR(read(owner, &m, sizeof(m) - 1), EINVAL);
	OK(fcntl(owner, F_SETFL, O_NONBLOCK));
	ERR(read(owner, &m, sizeof(m)), EAGAIN);
	OK(fcntl(owner, F_SETFL, 0));
	IS(poll(&(struct pollfd){ .fd = owner, .events = POLLIN }, 1, 0), 0);
	memset(&m, 0, sizeof(m));
	ERR(write(owner, &m, sizeof(m)), ENOENT);
	ERR(write(owner, &m, sizeof(m) - 1), EINVAL);
	ERR(write(owner, bad_pointer, sizeof(m)), EFAULT);
	m.nr_fds = 1;
	ERR(write(owner, &m, sizeof(m)), EINVAL);
	ERR(call(handle, "nobody reads", -1, 20, &m), ETIMEDOUT);
	IS(poll(&(struct pollfd){ .fd = owner, .events = POLLIN }, 1, 0), 0);

	pthread_create(&t, NULL, serve, &served);
	OK(call(handle, "hello", -1, 20000, &m));
	IS(strcmp((char *)m.data, "hello"), 0);
	OK(pipe(p));
	OK(call(handle, "pipe", p[1], 20000, &m));
	IS(read(p[0], word, sizeof(word)), 4);
	IS(strcmp(word, "word"), 0);
	OK(close(p[1]));
	IS(read(p[0], word, sizeof(word)), 0);	/* nobody holds it any more */
	ERR(call(handle, "silence", -1, 50, &m), ETIMEDOUT);
	for (i = 0; i < 4; i++)
		pthread_create(&c[i], NULL, client, &good[i]);
	for (i = 0; i < 4; i++) {
		pthread_join(c[i], &r);
		IS((long)r, 0);
		IS(good[i], 200);
	}
	OK(call(handle, "end", -1, 20000, &m));
	pthread_join(t, &r);
	IS((long)r, 0);
	IS(served, 803);
	/* an owner that goes ends what waits; another may come */
	OK(close(owner));
	ERR(call(handle, "x", -1, 1000, &m), ENOTCONN);
	OK(owner = ioctl(e.vm, LAMINA_OWN, 0));
	/* the end of the VM is the end of the owner's file */
	OK(close(e.vm));
	IS(read(owner, &m, sizeof(m)), 0);
}

static void *waiter(void *arg)
{
	struct lamina_message m;

	(void)arg;
	/* The one that is too many may have been here before. */
	while (call(handle, "wait", -1, 30000, &m))
		if (errno != EBUSY)
			return (void *)(long)errno;
	return NULL;
}

static void on_usr1(int s)
{
	(void)s;
}

static void limits(void)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	pthread_t t[LAMINA_MAX_CALLS];
	struct lamina_message m;
	int i, n = 0;
	void *r;

	need_names();
	sigaction(SIGUSR1, &sa, NULL);
	OK(set_name(e.vm, 0, "api-limits"));
	OK(owner = ioctl(e.vm, LAMINA_OWN, 0));
	OK(handle = open_name("api-limits"));
	for (i = 0; i < LAMINA_MAX_CALLS; i++)
		pthread_create(&t[i], NULL, waiter, NULL);
	while (call(handle, "one more", -1, 1, &m) && errno == ETIMEDOUT && n++ < 500)
		usleep(1000);
	ERR(call(handle, "one more", -1, 1, &m), EBUSY);
	/* a request that could not be delivered stays */
	ERR(read(owner, bad_pointer, sizeof(m)), EFAULT);
	IS(read(owner, &m, sizeof(m)), sizeof(m));
	/* a signal ends the wait */
	pthread_kill(t[0], SIGUSR1);
	pthread_join(t[0], &r);
	IS((long)r, EINTR);
	OK(close(owner));
	for (i = 1; i < LAMINA_MAX_CALLS; i++) {
		pthread_join(t[i], &r);
		IS((long)r, ENOTCONN);
	}
}

static void *sender(void *arg)
{
	struct lamina_message m;

	return (void *)(long)(call(handle, "pipe", *(int *)arg, 20000, &m) ? errno : 0);
}

/* Descriptors that the owner cannot have. */
static void full_table(void)
{
	struct rlimit few, many;
	struct lamina_message m;
	int p[2], next;
	pthread_t t;
	void *r;

	need_names();
	OK(set_name(e.vm, 0, "api-full"));
	OK(owner = ioctl(e.vm, LAMINA_OWN, 0));
	OK(handle = open_name("api-full"));
	OK(pipe(p));
	OK(next = dup(p[0]));
	OK(close(next));
	pthread_create(&t, NULL, sender, &p[1]);
	IS(poll(&(struct pollfd){ .fd = owner, .events = POLLIN }, 1, 20000), 1);
	ERR(read(owner, bad_pointer, sizeof(m)), EFAULT);
	ERR(fcntl(next, F_GETFD), EBADF);
	OK(getrlimit(RLIMIT_NOFILE, &many));
	few = (struct rlimit) { .rlim_cur = next, .rlim_max = many.rlim_max };
	OK(setrlimit(RLIMIT_NOFILE, &few));
	IS(read(owner, &m, sizeof(m)), sizeof(m));
	OK(setrlimit(RLIMIT_NOFILE, &many));
	IS(m.nr_fds, 0);
	ERR(fcntl(next, F_GETFD), EBADF);
	m.pid = m.uid = 0;
	IS(write(owner, &m, sizeof(m)), sizeof(m));
	pthread_join(t, &r);
	IS((long)r, 0);
}

static void *namer(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		int vm = ioctl(e.sys, KVM_CREATE_VM, 0), own, h;
		struct lamina_message m;

		if (vm < 0)
			return (void *)1;
		if (set_name(vm, 0, "api-race") && errno != EEXIST)
			return (void *)2;
		own = ioctl(vm, LAMINA_OWN, 0);
		h = open_name("api-race");
		if (h < 0 && errno != ENOENT)
			return (void *)3;
		if (h >= 0 && (!call(h, "x", -1, 1, &m) ||
			       (errno != ETIMEDOUT && errno != ESTALE && errno != ENOTCONN)))
			return (void *)4;
		close(i & 1 ? vm : own);
		close(i & 1 ? own : vm);
		close(h);
	}
	return NULL;
}

static void race(void)
{
	pthread_t t[4];
	void *r;
	int i;

	need_names();
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, namer, NULL);
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		IS((long)r, 0);
	}
}

static void states(void)
{
	struct lamina_state s = { .state = LAMINA_STATE_PAUSED, .reason = "for a while" };

	need_names();
	OK(ioctl(e.vm, LAMINA_SET_STATE, &s));
	s.flags = 1;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	s.flags = 0;
	s.state = LAMINA_STATE_CREATED;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	s.state = LAMINA_STATE_CRASHED + 1;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	s.state = LAMINA_STATE_CRASHED;
	s.reason[3] = '\n';
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	s.reason[3] = 0;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	memset(s.reason, 'x', sizeof(s.reason));
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EINVAL);
	ERR(ioctl(e.vm, LAMINA_SET_STATE, BAD_PTR), EFAULT);
	ERR(ioctl(e.sys, LAMINA_SET_STATE, &s), ENOTTY);
	/* the end is the end, whoever comes late */
	memset(s.reason, 0, sizeof(s.reason));
	s.state = LAMINA_STATE_RUNNING;
	OK(ioctl(e.vm, LAMINA_SET_STATE, &s));
	s.state = LAMINA_STATE_STOPPED;
	OK(ioctl(e.vm, LAMINA_SET_STATE, &s));
	s.state = LAMINA_STATE_PAUSED;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EBUSY);
	s.state = LAMINA_STATE_RUNNING;
	ERR(ioctl(e.vm, LAMINA_SET_STATE, &s), EBUSY);
}

const struct test name_tests[] = {
	{ "naming", naming }, { "open-by-name", opening }, { "other-users", others },
	{ "stale-handle", stale }, { "orphan", orphan }, { "control-calls", calls }, { "control-limits", limits }, { "control-full-table", full_table },
	{ "name-race", race }, { "vm-states", states },
	{ NULL, NULL },
};
