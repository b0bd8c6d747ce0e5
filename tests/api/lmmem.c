// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmmem: the memory of a guest stays what the guest wrote, whatever the host
 * does with it meanwhile.
 *
 * A guest of two vCPUs writes every page of its memory again and again: each
 * 64-bit word of a page gets a value made of the page's number and the round.
 * Before it writes a page it verifies what the round before left there; the
 * first mismatch ends it. The client's threads disturb the memory in the
 * meantime. At the end the client verifies every page from outside.
 *
 * Modes: plain pageout dontneed thp ksm mprotect mremap fork compact, and those that only
 * run if they are named: move (vCPUs from CPU to CPU), offline (CPU 1 goes and comes).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest64.h"

#define MAGIC		0x9e3779b97f4a7c15ul

static const char *device = "/dev/lamina";
static bool no_xsave;
static size_t size = 64ul << 20;
static int seconds = 5;
static uint8_t *low, *data;
static pthread_t threads[2];

/*
 * The guest, one copy a vCPU. RDI = first page, RSI = number of pages, RDX = its
 * result area: +0 rounds done, +8 bad address, +16 value found, +24 stop flag,
 * +32 current page, +40 nonzero: zeros are allowed too (the host drops pages).
 * Word w of page p in round r holds (p * 512 + w + r) * MAGIC.
 */
asm(".pushsection .rodata\n"
    ".global guest_start, guest_end\n"
    "guest_start:\n"
    "	mov $0x9e3779b97f4a7c15, %r15\n"
    "	xor %r8d, %r8d\n"			/* round */
    "1:	xor %r9d, %r9d\n"			/* page within the range */
    "2:	lea (%rdi,%r9), %rax\n"
    "	mov %rax, 32(%rdx)\n"
    "	shl $12, %rax\n"
    "	mov $0x40000000, %r10d\n"
    "	add %rax, %r10\n"			/* address */
    "	lea (%rdi,%r9), %r11\n"
    "	shl $9, %r11\n"
    "	add %r8, %r11\n"
    "	mov $512, %ecx\n"
    "3:	test %r8, %r8\n"
    "	jz 4f\n"
    "	lea -1(%r11), %rbx\n"
    "	imul %r15, %rbx\n"
    "	mov (%r10), %rax\n"
    "	cmp %rax, %rbx\n"
    "	je 4f\n"
    "	cmpq $0, 40(%rdx)\n"
    "	je 5f\n"
    "	test %rax, %rax\n"
    "	jnz 5f\n"
    "4:	mov %r11, %rbx\n"
    "	imul %r15, %rbx\n"
    "	mov %rbx, (%r10)\n"
    "	add $8, %r10\n"
    "	inc %r11\n"
    "	dec %ecx\n"
    "	jnz 3b\n"
    "	inc %r9\n"
    "	cmp %rsi, %r9\n"
    "	jb 2b\n"
    "	inc %r8\n"
    "	mov %r8, (%rdx)\n"
    "	cmpq $0, 24(%rdx)\n"
    "	je 1b\n"
    "	out %al, $0xf4\n"
    "5:	mov %r10, 8(%rdx)\n"
    "	mov %rax, 16(%rdx)\n"
    "	out %al, $0xf5\n"
    "guest_end:\n"
    ".popsection\n");
extern const uint8_t guest_start[], guest_end[];

struct result {
	volatile uint64_t rounds, bad, found, stop, page, zero_ok;
};
#define RESULT(i) ((struct result *)(low + 0x8000 + (i) * 0x1000))

static void die(const char *what)
{
	printf("not ok lmmem - %s: %s\n", what, strerror(errno));
	exit(1);
}

struct cpu {
	int fd;
	struct kvm_run *run;
	int end;		/* port of the last exit, or -errno */
};

static __thread struct cpu *self;
static void on_usr1(int s)
{
	(void)s;
	if (self)
		self->run->immediate_exit = 1;
}

static void *run(void *arg)
{
	struct cpu *c = arg;

	self = c;
	for (;;) {
		if (ioctl(c->fd, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN) {
				c->run->immediate_exit = 0;
				continue;
			}
			c->end = -errno;
			return NULL;
		}
		if (c->run->exit_reason == KVM_EXIT_INTR)
			continue;
		c->end = c->run->exit_reason == KVM_EXIT_IO ? c->run->io.port : -1000 - (int)c->run->exit_reason;
		return NULL;
	}
}

static void vcpu(int sys, int vm, struct cpu *c, int id, size_t first, size_t pages)
{
	/* IF set: docs/vmx-features.md says how Bochs never comes out otherwise */
	struct kvm_regs r = { .rip = 0x1000, .rflags = 0x202, .rdi = first, .rsi = pages, .rdx = 0x8000 + id * 0x1000 };

	c->fd = make_vcpu(sys, vm, id, no_xsave, &c->run);
	if (ioctl(c->fd, KVM_SET_REGS, &r))
		die("SET_REGS");
}

/* What is known of a vCPU that ended where it should not have. */
static void show_vcpu(const struct cpu *c)
{
	const uint64_t *pt = (const uint64_t *)(low + 0x10000);
	struct kvm_sregs s = { 0 };
	struct kvm_regs r = { 0 };
	int i;

	if (c->end == -1000 - KVM_EXIT_INTERNAL_ERROR) {
		printf("# suberror %u", c->run->internal.suberror);
		for (i = 0; i < (int)c->run->internal.ndata && i < 16; i++)
			printf(" %llx", c->run->internal.data[i]);
		puts("");
	}
	ioctl(c->fd, KVM_GET_REGS, &r);
	ioctl(c->fd, KVM_GET_SREGS, &s);
	printf("# rip %llx rflags %llx r10 %llx rcx %llx rdx %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx\n",
	       r.rip, r.rflags, r.r10, r.rcx, r.rdx, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	printf("# pml4[0] %lx pdpt %lx %lx pd[512] %lx\n", pt[0], pt[512], pt[513], pt[1024 + 512]);
}

/* Things that a host does. Each returns false when this host cannot. */
static size_t some_page(void)
{
	return (size_t)(random() % (size >> 12)) << 12;
}

static size_t some_range(size_t *len)
{
	size_t at = some_page();

	*len = (size_t)(1 + random() % 600) << 12;
	if (*len > size - at)
		*len = size - at;
	return at;
}

static bool do_plain(void)
{
	return true;
}

static bool do_pageout(void)
{
	size_t len, at = some_range(&len);

	return !madvise(data + at, len, MADV_PAGEOUT);
}

static bool do_dontneed(void)
{
	size_t at = some_page();

	/* small pages, or each fault clears 2 MiB and the guest never gets on */
	return !madvise(data, size, MADV_NOHUGEPAGE) && !madvise(data + at, 4096, MADV_DONTNEED);
}

static bool do_thp(void)
{
	size_t at = some_page() & ~((2ul << 20) - 1), len = 2ul << 20;
	int r;

	if (at + len > size)
		return true;
	switch (random() % 3) {
	case 0:
		r = madvise(data + at, len, MADV_HUGEPAGE);
		if (!r)
			r = madvise(data + at, len, MADV_COLLAPSE);
		/* no huge page free just now is no failure */
		return !r || errno == EAGAIN || errno == ENOMEM || errno == EBUSY || errno == EINVAL;
	case 1:			/* splits it */
		r = mprotect(data + at + 4096, 4096, PROT_READ);
		mprotect(data + at + 4096, 4096, PROT_READ | PROT_WRITE);
		return !r;
	default:
		madvise(data + at + 8192, 4096, MADV_PAGEOUT);
		return true;
	}
}

static bool do_ksm(void)
{
	static bool on;

	if (!on) {
		int fd = open("/sys/kernel/mm/ksm/run", O_WRONLY);

		if (fd < 0 || write(fd, "1", 1) != 1 || madvise(data, size, MADV_MERGEABLE))
			return false;
		close(fd);
		fd = open("/sys/kernel/mm/ksm/sleep_millisecs", O_WRONLY);
		if (fd >= 0) {
			if (write(fd, "1", 1) != 1)
				perror("ksm");
			close(fd);
		}
		fd = open("/sys/kernel/mm/ksm/pages_to_scan", O_WRONLY);
		if (fd >= 0) {
			if (write(fd, "2000", 4) != 4)
				perror("ksm");
			close(fd);
		}
		on = true;
	}
	usleep(10000);
	return true;
}

static bool do_mprotect(void)
{
	size_t len, at = some_range(&len);

	/* while it is read only a writing vCPU may get EFAULT: the client makes it good first */
	if (mprotect(data + at, len, PROT_READ) || mprotect(data + at, len, PROT_READ | PROT_WRITE))
		return false;
	return true;
}

static bool do_fork(void)
{
	pid_t pid = fork();

	/* every page is copy-on-write now; the child lives for a while and must see its moment */
	if (!pid) {
		volatile uint64_t sum = 0;
		size_t i;

		for (i = 0; i < size; i += 4096)
			sum += *(uint64_t *)(data + i);
		usleep(20000);
		_exit(0);
	}
	if (pid < 0)
		return false;
	waitpid(pid, NULL, 0);
	return true;
}

static bool do_compact(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);

	if (fd < 0)
		return false;
	if (write(fd, "1", 1) != 1)
		perror("compact");
	close(fd);
	usleep(5000);
	return true;
}

static bool do_mremap(void)
{
	/* the content moves out and back; the guest is stopped by nobody: see main */
	size_t len = 64 << 12, at = some_page();
	void *away;

	if (at + len > size)
		return true;
	away = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (away == MAP_FAILED)
		return false;
	if (mremap(data + at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, away) == MAP_FAILED)
		return false;
	if (mremap(away, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, data + at) == MAP_FAILED)
		return false;
	return true;
}

static bool do_move(void)
{
	int cpu = random() % sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !pthread_setaffinity_np(threads[random() % 2], sizeof(set), &set);
}

static bool do_offline(void)
{
	static bool off;
	int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
	bool done = fd >= 0 && write(fd, off ? "1" : "0", 1) == 1;

	off = !off;
	if (fd >= 0)
		close(fd);
	usleep(20000);
	return done;
}

static const struct mode {
	const char *name;
	bool (*fn)(void);
	bool zero_ok;		/* the host throws content away on purpose */
	bool efault_ok;		/* the mapping is away for moments */
	bool named;		/* needs two CPUs: runs only if it is asked for */
} modes[] = {
	{ "plain", .fn = do_plain }, { "pageout", .fn = do_pageout }, { "dontneed", .fn = do_dontneed, .zero_ok = true },
	{ "thp", .fn = do_thp, .efault_ok = true }, { "ksm", .fn = do_ksm },
	{ "mprotect", .fn = do_mprotect, .efault_ok = true }, { "mremap", .fn = do_mremap, .efault_ok = true },
	{ "fork", .fn = do_fork }, { "compact", .fn = do_compact },
	{ "move", .fn = do_move, .named = true }, { "offline", .fn = do_offline, .named = true },
};

/* Every page from outside: the words of page p are of one round, or two at the place it stopped at. */
static long verify(const struct mode *m)
{
	size_t p, w, pages = size >> 12;
	long bad = 0;

	for (p = 0; p < pages; p++) {
		uint64_t *page = (uint64_t *)(data + (p << 12));
		uint64_t rounds = RESULT(p >= pages / 2)->rounds;

		for (w = 0; w < 512; w++) {
			uint64_t want = (p * 512 + w + rounds - 1) * MAGIC;

			if (page[w] == want || (m->zero_ok && !page[w]))
				continue;
			if (!bad++)
				printf("# page %zu word %zu is %#lx, not %#lx\n", p, w,
				       (unsigned long)page[w], (unsigned long)want);
			break;
		}
	}
	return bad;
}

static int one_mode(const struct mode *m)
{
	struct kvm_userspace_memory_region s0 = { .memory_size = LOW_SIZE };
	struct kvm_userspace_memory_region s1 = { .slot = 1, .guest_phys_addr = DATA_GPA, .memory_size = size };
	struct sigaction sa = { .sa_handler = on_usr1 };
	size_t pages = size >> 12, n;
	struct cpu cpu[2] = { 0 };
	uint64_t *pt;
	time_t end;
	long bad;
	int sys, vm, i;

	alarm(seconds * 10 + 60);
	sigaction(SIGUSR1, &sa, NULL);
	low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	data = mmap(NULL, size + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (low == MAP_FAILED || data == MAP_FAILED)
		die("mmap");
	data = (uint8_t *)(((uintptr_t)data + (2 << 20) - 1) & ~((2ul << 20) - 1));
	sys = open(device, O_RDWR | O_CLOEXEC);
	if (sys < 0)
		die(device);
	vm = ioctl(sys, KVM_CREATE_VM, 0);
	if (vm < 0)
		die("CREATE_VM");
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	if (ioctl(vm, KVM_CREATE_IRQCHIP, 0))
		die("CREATE_IRQCHIP");
	s0.userspace_addr = (uintptr_t)low;
	s1.userspace_addr = (uintptr_t)data;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &s0) || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &s1))
		die("slots");
	memcpy(low + 0x1000, guest_start, guest_end - guest_start);
	pt = (uint64_t *)(low + 0x10000);
	pt[0] = 0x11007;
	for (n = 0; n < 4; n++)
		pt[512 + n] = (0x12000 + n * 4096) | 7;
	for (n = 0; n < 2048; n++)
		pt[1024 + n] = n << 21 | 0x87;
	for (i = 0; i < 2; i++) {
		struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

		RESULT(i)->zero_ok = m->zero_ok;
		vcpu(sys, vm, &cpu[i], i, i * (pages / 2), pages / 2);
		if (ioctl(cpu[i].fd, KVM_SET_MP_STATE, &mp))
			die("SET_MP_STATE");
		pthread_create(&threads[i], NULL, run, &cpu[i]);
	}
	end = time(NULL) + seconds;
	for (n = 0; time(NULL) < end || RESULT(0)->rounds < 3 || RESULT(1)->rounds < 3; n++) {
		if (cpu[0].end || cpu[1].end)
			break;
		if (!m->fn()) {
			printf("skip mem-%s - this host cannot: %s\n", m->name, strerror(errno));
			_exit(0);
		}
		usleep(2000);		/* the guest must get on as well */
		for (i = 0; i < 2; i++)
			if (m->efault_ok && cpu[i].end == -EFAULT) {
				/* met a moment in which the mapping was away: go on */
				pthread_join(threads[i], NULL);
				cpu[i].end = 0;
				pthread_create(&threads[i], NULL, run, &cpu[i]);
			}
	}
	RESULT(0)->stop = RESULT(1)->stop = 1;
	for (i = 0; i < 2; i++) {
		for (;;) {
			pthread_join(threads[i], NULL);
			if (!m->efault_ok || cpu[i].end != -EFAULT)
				break;
			cpu[i].end = 0;
			pthread_create(&threads[i], NULL, run, &cpu[i]);
		}
		if (cpu[i].end != 0xf4) {
			show_vcpu(&cpu[i]);
			printf("not ok mem-%s - vCPU %d ended with %d at page %lu: %#lx holds %#lx (round %lu)\n",
			       m->name, i, cpu[i].end, (unsigned long)RESULT(i)->page,
			       (unsigned long)RESULT(i)->bad, (unsigned long)RESULT(i)->found,
			       (unsigned long)RESULT(i)->rounds);
			return 1;
		}
	}
	bad = verify(m);
	if (bad) {
		printf("not ok mem-%s - %ld pages are wrong\n", m->name, bad);
		return 1;
	}
	printf("ok mem-%s\n# %lu + %lu rounds of %zu MiB, %zu disturbances\n", m->name,
	       (unsigned long)RESULT(0)->rounds, (unsigned long)RESULT(1)->rounds, size >> 21, n);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "device", 1, NULL, 'd' }, { "no-xsave", 0, NULL, 'x' }, { "size", 1, NULL, 's' },
		{ "seconds", 1, NULL, 't' }, { NULL, 0, NULL, 0 },
	};
	int o, i, bad = 0;
	size_t k;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'd': device = optarg; break;
		case 'x': no_xsave = true; break;
		case 's': size = strtoul(optarg, NULL, 0) << 20; break;
		case 't': seconds = atoi(optarg); break;
		default:
			fprintf(stderr, "lmmem [--device D] [--size MIB] [--seconds N] [--no-xsave] [MODE]...\n");
			return 2;
		}
	}
	for (k = 0; k < sizeof(modes) / sizeof(modes[0]); k++) {
		int status = 0;
		pid_t pid;

		for (i = optind; i < argc && strcmp(argv[i], modes[k].name); i++)
			;
		if (i == argc && (optind < argc || modes[k].named))
			continue;
		fflush(stdout);
		pid = fork();
		if (!pid) {
			int r = one_mode(&modes[k]);

			fflush(stdout);
			_exit(r);
		}
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			printf("not ok mem-%s - signal %d\n", modes[k].name, WTERMSIG(status));
		bad += status != 0;
	}
	return bad != 0;
}
