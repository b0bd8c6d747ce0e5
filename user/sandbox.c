// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sandbox of a guest's process: no new privileges, no capabilities, and a list of system calls (seccomp(2)). By
 * then all files are open (devices.c, hold_open()); a guest that starts again finds them there. It begins before the
 * machine is made, hence before there is a second thread, and whatever a restart needs is needed by the first start too.
 *
 * What a library may try and do without answers an error. All else ends the process.
 *
 * libseccomp is opened only here and closed again: the filter is the kernel's then.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/lamina.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "sandbox.h"
#include "tool.h"

static unsigned int allowed = SANDBOX_FILES | SANDBOX_SOCKETS;

/**
 * sandbox_allows() - which of the things that devices may need this process can still do
 *
 * Return: SANDBOX_*.
 */
unsigned int sandbox_allows(void)
{
	return allowed;
}

/**
 * sandbox_parse() - read on, off or log, and what else there is
 * @text: the words, with commas between
 * @sandbox: filled in
 *
 * Return: 0, or -1 with a message.
 */
int sandbox_parse(const char *text, struct sandbox *sandbox)
{
	static const struct {
		const char *word;
		enum sandbox_mode mode;
		unsigned int allow;
		bool root;
	} words[] = {
		{ "on", SANDBOX_ON, 0, false },
		{ "off", SANDBOX_OFF, 0, false },
		{ "log", SANDBOX_LOG, 0, false },
		{ "share", SANDBOX_ON, SANDBOX_FILES, false },
		{ "net", SANDBOX_ON, SANDBOX_SOCKETS, false },
		{ "root", SANDBOX_ON, 0, true },
	};
	unsigned int i;
	size_t len;

	*sandbox = (struct sandbox){ .mode = SANDBOX_ON };
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		for (i = 0; i < ARRAY_SIZE(words); i++) {
			if (len == strlen(words[i].word) && !strncmp(text, words[i].word, len))
				break;
		}
		if (i == ARRAY_SIZE(words))
			return fail("there is no '%.*s': give on, log or off, and after on: share, net, root",
				    (int)len, text);
		if (words[i].mode != SANDBOX_ON)
			sandbox->mode = words[i].mode;
		sandbox->allow |= words[i].allow;
		sandbox->root |= words[i].root;
		if (!text[len])
			return 0;
	}
}

/* ---- system calls ---- */

#define ANY_TIME 0u
#define NEVER (~0u)

/**
 * struct rule - a system call
 * @call: its number
 * @with: if one of these SANDBOX_* is allowed; ANY_TIME; or NEVER: it answers @error
 * @error: see there
 * @nr: how many of @args must hold
 * @args: what of its arguments
 */
struct rule {
	int call;
	unsigned int with;
	int error;
	unsigned int nr;
	struct scmp_arg_cmp args[2];
};

#define CALL(name) { .call = __NR_##name }
#define FOR(what, name) { .call = __NR_##name, .with = (what) }
#define REFUSE(name, err) { .call = __NR_##name, .with = NEVER, .error = (err) }
/* Only where these bits of an argument have this value. */
#define WHERE(what, name, arg, mask, value) \
	{ .call = __NR_##name, .with = (what), .nr = 1, \
	  .args = { { (arg), SCMP_CMP_MASKED_EQ, (mask), (value) } } }
#define IS(name, arg, value) WHERE(ANY_TIME, name, arg, 0xffffffff, (unsigned int)(value))

#define FILES SANDBOX_FILES
#define SOCKETS SANDBOX_SOCKETS
#define IOC_TYPE 0xff00u
#define THREAD (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define NOT_THREAD (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		    CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE | CLONE_VFORK)
/* What makes opening more than reading. */
#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC)

static const struct rule rules[] = {
	/* Descriptors that are open. */
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(close), CALL(fstat),
	CALL(dup), CALL(dup2), CALL(dup3), CALL(lseek),
	IS(fcntl, 1, F_DUPFD), IS(fcntl, 1, F_DUPFD_CLOEXEC), IS(fcntl, 1, F_GETFD), IS(fcntl, 1, F_SETFD),
	IS(fcntl, 1, F_GETFL), IS(fcntl, 1, F_SETFL),
	/* fstat() by another name; with it, a path can be looked at but not opened. */
	WHERE(ANY_TIME, newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
	/* What lies behind a descriptor, for 'lamina show'. */
	CALL(readlink),

	/* The hypervisor, KVM's and ours; vhost; a tap; the terminal, but not typing on it (TIOCSTI). */
	WHERE(ANY_TIME, ioctl, 1, IOC_TYPE, 0xae00), WHERE(ANY_TIME, ioctl, 1, IOC_TYPE, 0xaf00),
	/* Its own name, but no way to other guests. */
	IS(ioctl, 1, LAMINA_SET_NAME), IS(ioctl, 1, LAMINA_OWN), IS(ioctl, 1, LAMINA_SET_STATE),
	IS(ioctl, 1, TUNGETIFF), IS(ioctl, 1, TUNSETOFFLOAD),
	IS(ioctl, 1, TCGETS), IS(ioctl, 1, TCSETS), IS(ioctl, 1, TIOCGPGRP), IS(ioctl, 1, TIOCGWINSZ),

	/* Waiting. */
	CALL(poll), CALL(ppoll), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait),
	CALL(eventfd2), CALL(timerfd_create), CALL(timerfd_settime), CALL(futex), CALL(nanosleep),
	CALL(clock_nanosleep), CALL(restart_syscall), CALL(sched_yield),
	CALL(clock_gettime), CALL(gettimeofday), CALL(time), CALL(getrandom),

	/* Memory, none of it executable. */
	WHERE(ANY_TIME, mmap, 2, PROT_EXEC, 0), WHERE(ANY_TIME, mprotect, 2, PROT_EXEC, 0),
	CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk),

	/* Threads and their signals. */
	WHERE(ANY_TIME, clone, 0, THREAD | NOT_THREAD, THREAD), REFUSE(clone3, ENOSYS),
	CALL(set_robust_list), CALL(rseq), CALL(exit), CALL(exit_group), CALL(sched_getaffinity),
	CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack), CALL(rt_sigaction),
	IS(prctl, 0, PR_SET_NAME),
	CALL(getpid), CALL(gettid), CALL(getpgrp), CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid),

	/* Questions of libraries about this process and the host. */
	WHERE(ANY_TIME, prlimit64, 2, ~0ull, 0), CALL(sysinfo), CALL(uname), CALL(getcpu), CALL(getrusage), CALL(times),
	CALL(clock_getres), CALL(membarrier), CALL(timerfd_gettime), CALL(getppid), CALL(getresuid), CALL(getresgid),

	/* Consoles of guests without a terminal; news of the host's interfaces. */
	CALL(sendto), CALL(recvfrom), CALL(getsockopt), CALL(bind), CALL(shutdown),
	{ .call = __NR_socket, .nr = 2, .args = {
		{ 0, SCMP_CMP_MASKED_EQ, 0xffffffff, AF_NETLINK },
		{ 2, SCMP_CMP_MASKED_EQ, 0xffffffff, NETLINK_ROUTE } } },

	/* Nothing can be opened but what the devices need. */
	FOR(FILES, openat), FOR(FILES, open), WHERE(SOCKETS, openat, 2, WRITES, O_RDONLY),
	WHERE(FILES | SOCKETS, newfstatat, 3, AT_EMPTY_PATH, 0), FOR(FILES | SOCKETS, stat),

	/* Shared directories (virtio/p9.c). */
	FOR(FILES, pwrite64), FOR(FILES, preadv), FOR(FILES, pwritev), FOR(FILES, getdents64),
	FOR(FILES, readlinkat), FOR(FILES, mkdirat), FOR(FILES, symlinkat), FOR(FILES, mknodat),
	FOR(FILES, linkat), FOR(FILES, renameat), FOR(FILES, renameat2), FOR(FILES, unlinkat),
	FOR(FILES, chmod), FOR(FILES, fchmod), FOR(FILES, fchownat), FOR(FILES, utimensat),
	FOR(FILES, truncate), FOR(FILES, ftruncate), FOR(FILES, fsync), FOR(FILES, fdatasync),
	FOR(FILES, statfs), FOR(FILES, fstatfs), FOR(FILES, umask), FOR(FILES, setfsuid), FOR(FILES, setfsgid),
	WHERE(FILES, prlimit64, 0, ~0ull, 0),
	WHERE(FILES, unshare, 0, 0xffffffff, CLONE_FS),
	WHERE(FILES, fcntl, 1, 0xffffffff, F_OFD_SETLK), WHERE(FILES, fcntl, 1, 0xffffffff, F_OFD_GETLK),

	/* Networks of their own (libslirp). */
	WHERE(SOCKETS, socket, 0, 0xffffffff, AF_INET), FOR(SOCKETS, connect), FOR(SOCKETS, listen),
	FOR(SOCKETS, accept), FOR(SOCKETS, accept4), FOR(SOCKETS, sendmsg), FOR(SOCKETS, recvmsg),
	FOR(SOCKETS, setsockopt), FOR(SOCKETS, getsockname), FOR(SOCKETS, getpeername),
	WHERE(SOCKETS, ioctl, 1, 0xffffffff, FIONREAD), WHERE(SOCKETS, ioctl, 1, 0xffffffff, FIONBIO),
};

/* What the C library and others try and can do without: for those who may not open anything. */
static const struct rule attempts[] = {
	CALL(open), CALL(openat), CALL(openat2), CALL(stat), CALL(access), CALL(faccessat), CALL(faccessat2),
	CALL(statx), CALL(statfs), CALL(readlinkat), WHERE(ANY_TIME, newfstatat, 3, AT_EMPTY_PATH, 0),
};

static struct {
	void *library;
	__typeof__(&seccomp_init) init;
	__typeof__(&seccomp_release) release;
	__typeof__(&seccomp_load) load;
	__typeof__(&seccomp_attr_set) attr_set;
	__typeof__(&seccomp_rule_add_array) add;
} lib;

static const struct symbol symbols[] = {
	{ "seccomp_init", &lib.init },
	{ "seccomp_release", &lib.release },
	{ "seccomp_load", &lib.load },
	{ "seccomp_attr_set", &lib.attr_set },
	{ "seccomp_rule_add_array", &lib.add },
};

static int open_library(void)
{
	lib.library = dlopen("libseccomp.so.2", RTLD_NOW);
	if (!lib.library)
		return fail("libseccomp does not open (%s): install it with 'sudo apt-get install libseccomp2', or give --sandbox=off",
			    dlerror());
	return resolve(lib.library, "libseccomp", symbols, ARRAY_SIZE(symbols));
}

/* Is it let through, if only now and then? */
static bool is_allowed(const struct rule *attempt)
{
	const struct rule *r;

	for (r = rules; r < rules + ARRAY_SIZE(rules); r++) {
		if (r->call != attempt->call || r->with == NEVER || (r->with && !(r->with & allowed)))
			continue;
		if (!attempt->nr || r->args[0].datum_b == attempt->args[0].datum_b)
			return true;
	}
	return false;
}

/* A negative errno, as the library's. */
static int add_rules(scmp_filter_ctx filter, bool log)
{
	const struct scmp_arg_cmp self = { 0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0 };
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (r->with == NEVER)
			err = lib.add(filter, SCMP_ACT_ERRNO((unsigned int)r->error), r->call, 0, NULL);
		else if (!r->with || r->with & allowed)
			err = lib.add(filter, SCMP_ACT_ALLOW, r->call, r->nr, r->args);
	}
	/* To its own threads alone. */
	if (!err)
		err = lib.add(filter, SCMP_ACT_ALLOW, __NR_tgkill, 1, &self);
	for (i = 0; !err && !log && i < ARRAY_SIZE(attempts); i++) {
		const struct rule *r = &attempts[i];

		if (!is_allowed(r))
			err = lib.add(filter, SCMP_ACT_ERRNO(EACCES), r->call, r->nr, r->args);
	}
	return err;
}

static int filter_calls(bool log)
{
	scmp_filter_ctx filter;
	int err;

	/* A trap, so that the terminal goes back first: the handler of SIGSYS ends the process. */
	filter = lib.init(log ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
	err = filter ? lib.attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;
	if (!err)
		err = add_rules(filter, log);
	if (!err)
		err = lib.load(filter);
	if (filter)
		lib.release(filter);
	if (!err)
		return 0;
	errno = -err;
	return fail_errno("the kernel does not take the filter of system calls ('--sandbox=off' goes without)");
}

/* ---- an empty root directory ---- */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -1;
	err = write(fd, text, strlen(text)) < 0 ? -1 : 0;
	close(fd);
	return err;
}

/* A mount namespace takes CAP_SYS_ADMIN. Who has it not makes a user namespace, where all have it. */
static int new_namespaces(bool named)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!unshare(CLONE_NEWNS))
		return 0;
	if (errno != EPERM)
		return fail_errno("cannot have a mount namespace");
	/* Names belong to a user namespace: nobody would find the guest from outside. */
	if (named)
		return fail("--sandbox=root takes root's rights for a guest with a name");
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return fail_errno("cannot have a user namespace");
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	if (write_text("/proc/self/uid_map", map) || write_text("/proc/self/setgroups", "deny"))
		return fail_errno("cannot set the user namespace up");
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	return write_text("/proc/self/gid_map", map) ? fail_errno("cannot set the user namespace up") : 0;
}

#define NEW_ROOT "/dev"		/* a directory that is always there */
#define FDS "/proc/self/fd"

/* What a restart looks for. */
static int fill_root(void)
{
	int fd;

	/* Files are opened anew by what this says; the rest of /proc has settings of the host. */
	if (allowed & SANDBOX_FILES &&
	    (mkdir(NEW_ROOT "/proc", 0755) || mkdir(NEW_ROOT "/proc/self", 0755) || mkdir(NEW_ROOT FDS, 0755) ||
	     mount(FDS, NEW_ROOT FDS, NULL, MS_BIND, NULL)))
		return -1;
	if (!(allowed & SANDBOX_SOCKETS))
		return 0;
	if (mkdir(NEW_ROOT "/etc", 0755))
		return -1;
	fd = open(NEW_ROOT "/etc/resolv.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	close(fd);
	/* Without name servers it stays empty. */
	return mount("/etc/resolv.conf", NEW_ROOT "/etc/resolv.conf", NULL, MS_BIND, NULL) && errno != ENOENT ?
	       -1 : 0;
}

static int enter_root(void)
{
	const unsigned long how = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("lamina", NEW_ROOT, "tmpfs", how, "size=64k,mode=755") || fill_root() || chdir(NEW_ROOT))
		return -1;
	if (!syscall(SYS_pivot_root, ".", ".")) {
		if (umount2(".", MNT_DETACH))
			return -1;
	} else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".")) {
		/* EINVAL: the host lives in its initramfs, which cannot be taken away, but covered. */
		return -1;
	}
	return chdir("/") || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | how, NULL) ? -1 : 0;
}

/* ---- capabilities ---- */

/* What root's rights over files are made of: a shared directory has them. */
static const unsigned char file_caps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SETGID, CAP_SETUID,
};

/* What is kept of @now. */
static void choose_capabilities(const struct __user_cap_data_struct *now, struct __user_cap_data_struct *keep)
{
	unsigned int i;

	for (i = 0; allowed & SANDBOX_FILES && i < ARRAY_SIZE(file_caps); i++)
		keep[file_caps[i] / 32].effective |= 1u << file_caps[i] % 32;
	/* Ports below 1024 lead to a guest that starts again, too. */
	if (allowed & SANDBOX_SOCKETS)
		keep[0].effective |= 1u << CAP_NET_BIND_SERVICE;
	for (i = 0; i < 2; i++) {
		keep[i].effective &= now[i].effective & now[i].permitted;
		keep[i].permitted = keep[i].effective;
	}
}

static int drop_capabilities(const struct __user_cap_data_struct *keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	unsigned int i;

	/* Only who has CAP_SETPCAP can and need. */
	for (i = 0; i < 64; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &head, keep))
		return fail_errno("cannot give up rights");
	return 0;
}

static int enter(const struct sandbox *sandbox, bool named)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], keep[2] = { 0 };

	/* In a user namespace of its own it would have all of them. */
	if (syscall(SYS_capget, &head, now))
		return fail_errno("cannot see what rights there are");
	choose_capabilities(now, keep);
	if (sandbox->root && new_namespaces(named))
		return -1;
	if (sandbox->root && enter_root())
		return fail_errno("cannot have an empty root directory");
	if (drop_capabilities(keep))
		return -1;
	return filter_calls(sandbox->mode == SANDBOX_LOG);
}

/**
 * sandbox_enter() - shut this process in, for good
 * @sandbox: how; its @allow holds what its devices need
 * @named: others shall find the guest by its name
 *
 * There is one thread, and all is open.
 *
 * Return: 0, or -1 with a message.
 */
int sandbox_enter(const struct sandbox *sandbox, bool named)
{
	int err;

	if (sandbox->mode == SANDBOX_OFF)
		return 0;
	allowed = sandbox->allow;
	err = open_library() || enter(sandbox, named) ? -1 : 0;
	if (lib.library)
		dlclose(lib.library);
	malloc_trim(0);
	return err;
}
