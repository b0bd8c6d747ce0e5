// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tries to break out of the tool's sandbox (user/sandbox.c): each attempt in a process of its own, which has shut itself
 * in as a guest's process does. An attempt must fail with the errno that is named, or end the process (SIGSYS).
 * What the tool needs must go on working.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/lamina.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../user/sandbox.h"
#include "../../user/tool.h"

#define DIES 1000		/* by SIGSYS */
#define WORKS 0

static int null_fd, directory_fd, parent;

/* 0, or the errno. */
#define TRY(call) ((call) < 0 ? errno : 0)

static int open_read(void) { return TRY(open("/etc/passwd", O_RDONLY)); }
static int open_write(void) { return TRY(openat(directory_fd, "x", O_WRONLY | O_CREAT, 0600)); }
static int open_how(void) { return TRY(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0)); }
static int open_old(void) { return TRY(syscall(SYS_open, "/etc/passwd", O_RDONLY)); }
static int look_at(void) { struct stat st; return TRY(stat("/etc/passwd", &st)); }
static int look_old(void) { struct stat st; return TRY(syscall(SYS_stat, "/etc/passwd", &st)); }
static int program(void) { return TRY(execl("/bin/true", "true", NULL)); }
static int program_fd(void)
{
	static const char *const none[] = { NULL };

	return TRY(syscall(SYS_execveat, null_fd, "", none, none, AT_EMPTY_PATH));
}

static int process(void) { return TRY(syscall(SYS_fork)); }
static int process_clone(void) { return TRY(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
static int process_clone3(void) { return TRY(syscall(SYS_clone3, NULL, 0)); }
static int namespace(void) { return TRY(unshare(CLONE_NEWUSER)); }
static int namespace_join(void) { return TRY(setns(null_fd, 0)); }
static int trace(void) { return TRY(ptrace(PTRACE_TRACEME, 0, 0, 0)); }
static int read_other(void)
{
	char byte;
	struct iovec iov = { &byte, 1 };

	return TRY(process_vm_readv(parent, &iov, 1, &iov, 1, 0));
}

static int signal_other(void) { return TRY(kill(parent, 0)); }
static int signal_thread(void) { return TRY(syscall(SYS_tgkill, parent, parent, 0)); }
static int sigio(void) { return TRY(fcntl(null_fd, F_SETOWN, parent)); }
static int net_inet(void) { return TRY(socket(AF_INET, SOCK_STREAM, 0)); }
static int net_unix(void) { return TRY(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int net_packet(void) { return TRY(socket(AF_PACKET, SOCK_RAW, 0)); }
static int net_pair(void) { int fds[2]; return TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)); }
static int net_connect(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	return TRY(connect(null_fd, (void *)&to, sizeof(to)));
}

static int do_mount(void) { return TRY(mount("none", "/", "tmpfs", 0, NULL)); }
static int root(void) { return TRY(chroot("/")); }
static int code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ?
	       errno : 0;
}

static int make_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return TRY(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int other_guest(void) { return TRY(ioctl(null_fd, LAMINA_OPEN, NULL)); }
static int netlink_audit(void) { return TRY(socket(AF_NETLINK, SOCK_RAW, 9)); }
static int type_on_terminal(void) { return TRY(ioctl(null_fd, TIOCSTI, "x")); }
static int tracing(void) { return TRY(syscall(SYS_bpf, 0, NULL, 0)); }
static int counters(void) { return TRY(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0)); }
static int ring(void) { return TRY(syscall(SYS_io_uring_setup, 1, NULL)); }
static int module(void) { return TRY(syscall(SYS_init_module, NULL, 0, "")); }
static int key(void) { return TRY(syscall(SYS_keyctl, 0, 0)); }
static int faults(void) { return TRY(syscall(SYS_userfaultfd, 0)); }
static int user(void) { return TRY(syscall(SYS_setuid, 0)); }
static int rights(void) { return TRY(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN)); }
static int other_abi(void)
{
	long result;

	/* getpid() of 32-bit programs */
	asm volatile("int $0x80" : "=a"(result) : "0"(20) : "memory");
	return result < 0 ? (int)-result : 0;
}

static int ignore(void) { return signal(SIGSYS, SIG_IGN) == SIG_ERR ? errno : process(); }
static int make_file(void)
{
	int fd = openat(directory_fd, "sandbox-file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 || unlinkat(directory_fd, "sandbox-file", 0) ? errno : 0;
}

/* ---- what has to work ---- */

static void *thread(void *unused)
{
	(void)unused;
	return malloc(100000);
}

static int threads(void)
{
	pthread_t id;
	void *got;
	int err = pthread_create(&id, NULL, thread, NULL);

	return err ? err : pthread_join(id, &got) || !got;
}

static int everyday(void)
{
	uint64_t one = 1;
	struct stat st;
	int fd = eventfd(0, EFD_CLOEXEC);
	void *at = malloc(1 << 20);

	free(at);
	return fd < 0 || write(fd, &one, 8) != 8 || read(fd, &one, 8) != 8 || fstat(fd, &st) || close(fd) ||
	       !at || prctl(PR_SET_NAME, "other") ? errno : 0;
}

static int hypervisor(void)
{
	/* No such device, but the ioctl gets there. */
	return ioctl(null_fd, KVM_GET_API_VERSION, 0) < 0 && errno == ENOTTY ? 0 : 1;
}

static int limits(void)
{
	struct rlimit limit;

	return TRY(getrlimit(RLIMIT_NOFILE, &limit));
}

static int set_limits(void)
{
	struct rlimit limit = { 100, 100 };

	return TRY(setrlimit(RLIMIT_NOFILE, &limit));
}

static int no_rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2];

	return syscall(SYS_capget, &head, now) ? errno : (int)(now[0].permitted | now[1].permitted);
}

static const struct attempt {
	const char *name, *sandbox;
	int (*run)(void);
	int wanted;
} attempts[] = {
	{ "open a file", "on", open_read, EACCES }, { "make a file", "on", open_write, EACCES },
	{ "openat2", "on", open_how, EACCES }, { "open, the old call", "on", open_old, EACCES },
	{ "stat", "on", look_at, EACCES }, { "stat, the old call", "on", look_old, EACCES },
	{ "exec", "on", program, DIES }, { "execveat", "on", program_fd, DIES },
	{ "fork", "on", process, DIES }, { "clone a process", "on", process_clone, DIES },
	{ "clone3", "on", process_clone3, ENOSYS },
	{ "a user namespace", "on", namespace, DIES }, { "setns", "on", namespace_join, DIES },
	{ "ptrace", "on", trace, DIES }, { "read another's memory", "on", read_other, DIES },
	{ "kill", "on", signal_other, DIES }, { "tgkill another", "on", signal_thread, DIES },
	{ "SIGIO to another", "on", sigio, DIES },
	{ "an internet socket", "on", net_inet, DIES }, { "a Unix socket", "on", net_unix, DIES },
	{ "a packet socket", "on", net_packet, DIES }, { "a socket pair", "on", net_pair, DIES },
	{ "connect", "on", net_connect, DIES },
	{ "mount", "on", do_mount, DIES }, { "chroot", "on", root, DIES },
	{ "map code", "on", code, DIES }, { "make memory code", "on", make_code, DIES },
	{ "type on the terminal", "on", type_on_terminal, DIES },
	{ "open another guest", "on", other_guest, DIES },
	{ "a netlink socket that is not for the network", "on", netlink_audit, DIES },
	{ "bpf", "on", tracing, DIES }, { "perf_event_open", "on", counters, DIES },
	{ "io_uring", "on", ring, DIES }, { "load a module", "on", module, DIES },
	{ "keyctl", "on", key, DIES }, { "userfaultfd", "on", faults, DIES },
	{ "setuid", "on", user, DIES }, { "prctl", "on", rights, DIES },
	{ "32-bit calls", "on", other_abi, DIES },
	{ "fork, the signal ignored", "on", ignore, DIES },

	{ "share: exec", "on,share", program, DIES }, { "share: fork", "on,share", process, DIES },
	{ "share: an internet socket", "on,share", net_inet, DIES },
	{ "share: ptrace", "on,share", trace, DIES }, { "share: setuid", "on,share", user, DIES },
	{ "share: mount", "on,share", do_mount, DIES },
	{ "share: a user namespace", "on,share", namespace, DIES },
	{ "net: make a file", "on,net", open_write, DIES }, { "net: exec", "on,net", program, DIES },
	{ "net: a packet socket", "on,net", net_packet, DIES },
	{ "net: a Unix socket", "on,net", net_unix, DIES },

	{ "threads", "on", threads, WORKS }, { "what all do", "on", everyday, WORKS },
	{ "the hypervisor's ioctls", "on", hypervisor, WORKS },
	{ "limits", "on", limits, WORKS }, { "set limits", "on", set_limits, DIES },
	{ "share: set limits", "on,share", set_limits, WORKS },
	{ "share: files", "on,share", make_file, WORKS },
	{ "share: threads", "on,share", threads, WORKS },
	{ "net: a socket", "on,net", net_inet, WORKS }, { "net: read a file", "on,net", open_read, WORKS },
	{ "log: open a file", "log", open_read, WORKS }, { "log: fork", "log", process, WORKS },
	{ "log: no capabilities", "log", no_rights, WORKS },
	{ "off: open a file", "off", open_read, WORKS },
};

/* In the child: does not return. */
static void shut_in_and_run(const struct attempt *a)
{
	struct sandbox sandbox;
	int err;

	if (sandbox_parse(a->sandbox, &sandbox) || sandbox_enter(&sandbox, false)) {
		fprintf(stderr, "# %s\n", fail_text());
		_exit(254);
	}
	err = a->run();
	/* With the group alone another thread's status could get in between. */
	syscall(SYS_exit_group, err > 253 ? 253 : err);
}

static bool try(const struct attempt *a)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (!child)
		shut_in_and_run(a);
	waitpid(child, &status, 0);
	if (a->wanted == DIES && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return printf("ok sandbox: %s\n", a->name);
	if (a->wanted != DIES && WIFEXITED(status) && WEXITSTATUS(status) == a->wanted)
		return printf("ok sandbox: %s\n", a->name);
	printf("not ok sandbox: %s - %s %d\n", a->name, WIFSIGNALED(status) ? "signal" : "status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}

int main(void)
{
	bool good = true;
	unsigned int i;

	parent = getpid();
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	directory_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < ARRAY_SIZE(attempts); i++)
		good &= try(&attempts[i]);
	return !good;
}
