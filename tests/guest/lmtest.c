// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmtest: runs tiny guests through a device that speaks the KVM API and
 * reports each as "ok NAME", "skip NAME - why" or "not ok NAME - why".
 *
 * Every case gets a child process and a VM of its own; the guest images are
 * inside this program.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vm.h"

struct image {
	const uint8_t *data, *end;
	int bits;
};
extern const uint8_t g64_start[], g64_end[], g32_start[], g32_end[], g16_start[], g16_end[];
static const struct image images[] = {
	{ g16_start, g16_end, 16 },
	{ g32_start, g32_end, 32 },
	{ g64_start, g64_end, 64 },
};

static const char *device = "/dev/lamina";
static int limit = 20;		/* seconds for one case */
static int hang_ms = 500;	/* how long a guest that must hang is watched */
static unsigned int only_cpus;
static bool no_xsave, verbose;

static const struct image_header *header(const struct image *im)
{
	const struct image_header *h = (const void *)im->data;

	if (h->magic != IMAGE_MAGIC) {
		fprintf(stderr, "lmtest: bad %d-bit guest image\n", im->bits);
		exit(2);
	}
	return h;
}

static const char *case_name(const struct image *im, const struct image_case *c)
{
	return (const char *)im->data + (c->name - header(im)->load);
}

static void sem_wait_ms(sem_t *s, long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	while (sem_timedwait(s, &t) && errno == EINTR)
		;
}

/* All threads out of KVM_RUN within two seconds of the first signal? */
static bool stop_all(struct vm *vm)
{
	unsigned int i, n;

	vm->stop = true;
	for (n = 0; n < 200; n++) {
		vm_kick(vm);
		usleep(10000);
		for (i = 0; i < vm->ncpus; i++)
			if (!vm->vcpu[i].left)
				break;
		if (i == vm->ncpus)
			return true;
	}
	return false;
}

/* A guest that must not end by itself: does it hang, and can it be stopped? */
static int watch_hang(struct vm *vm)
{
	struct kvm_mp_state mp = { 0 };

	sem_wait_ms(&vm->done, hang_ms);
	if (vm->verdict >= 0)
		return vm->verdict == VERDICT_SKIP ? VERDICT_SKIP : VERDICT_FAIL;
	if (!stop_all(vm)) {
		say("does not leave KVM_RUN on a signal; ");
		return VERDICT_FAIL;
	}
	if (vm->vcpu[0].last_errno != EINTR) {
		say("KVM_RUN answered %d, not EINTR; ", vm->vcpu[0].last_errno);
		return VERDICT_FAIL;
	}
	ioctl(vm->vcpu[0].fd, KVM_GET_MP_STATE, &mp);
	if ((vm->flags & F_HANGHLT) && mp.mp_state != KVM_MP_STATE_HALTED) {
		say("mp_state is %u, not HALTED; ", mp.mp_state);
		return VERDICT_FAIL;
	}
	report->len = 0;
	report->text[0] = 0;
	return VERDICT_PASS;
}

/* Linux takes its time from the TSC only while it is stable. */
static int host_trusts_tsc(void)
{
	static const char file[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char name[16] = "";
	FILE *f = fopen(file, "r");

	if (f) {
		if (!fgets(name, sizeof(name), f))
			name[0] = '\0';
		fclose(f);
	}
	return !strncmp(name, "tsc", 3);	/* or tsc-early */
}

static int run_case(const struct image *im, const struct image_case *c)
{
	static struct vm vm;
	const struct image_header *h = header(im);
	struct guest_info *info;
	unsigned int i, regs[4];

	if (vm_create(&vm, device, c->cpus, c->flags, no_xsave))
		return VERDICT_FAIL;
	memcpy(vm.ram + h->load, im->data, im->end - im->data);
	info = (struct guest_info *)(vm.ram + INFO_GPA);
	info->func = c->func;
	info->cpus = c->cpus;
	info->flags = c->flags;
	info->no_xsave = no_xsave;
	__cpuid(0, regs[0], regs[1], regs[2], regs[3]);
	info->vendor = regs[1] == 0x756e6547 ? 'I' : 'A';
	info->host_tsc = host_trusts_tsc();
	info->tsc_khz = ioctl(vm.vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
	if ((int)info->tsc_khz <= 0) {
		say("GET_TSC_KHZ: %d; ", (int)info->tsc_khz);
		info->tsc_khz = 1000000;
	}
	if (vcpu_start_state(&vm.vcpu[0], im->bits, h->entry))
		return VERDICT_FAIL;
	for (i = 0; i < c->cpus; i++) {
		vm.vcpu[i].started = true;
		if (pthread_create(&vm.vcpu[i].thread, NULL, vcpu_thread, &vm.vcpu[i])) {
			say("no thread; ");
			return VERDICT_FAIL;
		}
	}
	if (c->flags & (F_HANG | F_HANGHLT))
		return watch_hang(&vm);
	sem_wait_ms(&vm.done, limit * 1000);
	if (vm.verdict < 0) {
		say("no verdict in %d s; ", limit);
		stop_all(&vm);
		return VERDICT_FAIL;
	}
	i = vm.verdict;
	if (!stop_all(&vm)) {
		say("vCPUs do not stop; ");
		return VERDICT_FAIL;
	}
	return i;
}

/* The child's exit status, or -1 if it had to be killed. */
static int wait_child(pid_t pid, int seconds)
{
	int status, n;

	for (n = 0; n < seconds * 100; n++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
		usleep(10000);
	}
	kill(pid, SIGKILL);
	for (n = 0; n < 500; n++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return -1;
		usleep(10000);
	}
	return -2;
}

/* 0 good, 1 bad */
static int do_case(const struct image *im, const struct image_case *c)
{
	const char *name = case_name(im, c);
	int r = VERDICT_SKIP;
	pid_t pid;

	report->len = 0;
	report->text[0] = 0;
	if (no_xsave && (c->flags & F_XSAVE)) {
		say("XSAVE is hidden");
	} else {
		fflush(stdout);
		pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (!pid)
			_exit(run_case(im, c));
		r = wait_child(pid, limit + 10);
	}
	if (r == -1)
		say("killed");
	else if (r == -2)
		say("cannot be killed");
	else if (r >= 256)
		say("client died of signal %d", r - 256);
	if (r == VERDICT_PASS && report->len && !verbose && !(c->flags & (F_SHUTDOWN | F_EMULFAIL | F_DELIVERY)))
		printf("ok %s # %s\n", name, report->text);
	else if (r == VERDICT_PASS)
		printf("ok %s\n", name);
	else if (r == VERDICT_SKIP)
		printf("skip %s - %s\n", name, report->text);
	else
		printf("not ok %s - %s\n", name, report->text);
	fflush(stdout);
	return r != VERDICT_PASS && r != VERDICT_SKIP;
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i, minus = 0;

	if (!argc)
		return true;
	for (i = 0; i < argc; i++) {
		const char *p = argv[i];
		size_t n;

		if (*p == '-') {
			p++;
			minus++;
		}
		n = strlen(p);
		if (!strcmp(p, name) || (n && p[n - 1] == '*' && !strncmp(p, name, n - 1)))
			return argv[i][0] != '-';
	}
	return minus == argc;
}

static void usage(void)
{
	fprintf(stderr,
		"lmtest [--device DEV] [--cpus N] [--no-xsave] [--timeout S] [--list] [NAME | PREFIX* | -- -NAME]...\n"
		"  --cpus N   only the cases with N vCPUs\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "device", 1, NULL, 'd' }, { "list", 0, NULL, 'l' }, { "cpus", 1, NULL, 'c' },
		{ "no-xsave", 0, NULL, 'x' }, { "timeout", 1, NULL, 't' }, { "hang", 1, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool list = false;
	int o, good = 0, bad = 0;
	size_t i;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'd': device = optarg; break;
		case 'l': list = true; break;
		case 'c': only_cpus = atoi(optarg); break;
		case 'x': no_xsave = true; break;
		case 't': limit = atoi(optarg); break;
		case 'h': hang_ms = atoi(optarg); break;
		default: usage();
		}
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 2;
	for (i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		const struct image *im = &images[i];
		const struct image_header *h = header(im);
		const struct image_case *c = (const void *)(im->data + (h->cases - h->load));

		for (; (const uint8_t *)c < im->data + (h->cases_end - h->load); c++) {
			if (!wanted(case_name(im, c), argc - optind, argv + optind))
				continue;
			if (only_cpus && c->cpus != only_cpus)
				continue;
			if (list)
				printf("%s (%d bits, %u CPU)\n", case_name(im, c), im->bits, c->cpus);
			else if (do_case(im, c))
				bad++;
			else
				good++;
		}
	}
	if (list)
		return 0;
	printf("%d passed, %d failed\n", good, bad);
	return bad || !good;
}
