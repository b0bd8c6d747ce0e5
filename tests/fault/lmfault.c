// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmfault [NAME]...: has each allocation and each user copy of each ioctl fail in turn, on a kernel with fault
 * injection (Documentation/fault-injection: fail-nth). Whatever fails must fail with ENOMEM or EFAULT and leave
 * nothing behind that keeps the same call from succeeding right after it.
 *
 * Prints "ok NAME" with how many places there were, or "not ok NAME - WHY".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/lamina.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 3000		/* places in one call */
#define RAM (2ull << 30)
#define ENTRIES 256
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static int fail_nth, sys, vm, vcpu, run_size;
static struct kvm_run *run;
static uint8_t *ram;
static union {
	uint8_t room[65536];
	uint32_t words[4];
	struct kvm_cpuid2 cpuid;
	struct kvm_msrs msrs;
	struct kvm_msr_list list;
	struct kvm_irq_routing routing;
	struct lamina_name name;
} arg;

/* ---- one place after the other ---- */

/* Both of these copy as well, and so may meet the fault themselves. */
static void fail_at(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	while (pwrite(fail_nth, text, len, 0) != len)
		;
}

static bool failed(void)
{
	char text[16] = "";

	return pread(fail_nth, text, sizeof(text) - 1, 0) > 0 && !atoi(text);
}

/**
 * struct call - what is tried
 * @prepare: before each time; may be NULL
 * @run: negative with errno, or what it gave
 * @undo: what @run gave is no longer needed; may be NULL
 */
struct call {
	const char *name;
	void (*prepare)(void);
	long (*run)(void);
	void (*undo)(long result);
	unsigned long code;	/* for many: an ioctl of @fd with arg, */
	int *fd;
	unsigned long get;	/* filled by this one before, */
	uint32_t first;		/* or by this number */
};

static const struct call *now;

static long once(void)
{
	return now->run ? now->run() : ioctl(*now->fd, now->code, &arg);
}

static void prepare(void)
{
	memset(&arg, 0, sizeof(arg));
	arg.words[0] = now->first;
	if (now->get && ioctl(*now->fd, now->get, &arg) < 0)
		printf("# %s: cannot be prepared: %s\n", now->name, strerror(errno));
	if (now->prepare)
		now->prepare();
}

static void undo(long result)
{
	if (result >= 0 && now->undo)
		now->undo(result);
}

static bool sensible(int err)
{
	return err == ENOMEM || err == EFAULT;
}

static int try_all(const struct call *call)
{
	unsigned int n, places = 0;
	bool met;
	long result;
	int err;

	now = call;
	for (n = 1; n < MOST; n++) {
		prepare();
		fail_at(n);
		errno = 0;
		result = once();
		err = errno;
		met = failed();
		fail_at(0);
		undo(result);
		if (result < 0 && (!met || !sensible(err))) {
			printf("not ok %s - place %u%s: %s\n", call->name, n, met ? "" : " (none)", strerror(err));
			return 1;
		}
		if (!met)
			break;
		places++;
		if (result >= 0)
			continue;
		prepare();
		result = once();
		err = errno;
		undo(result);
		if (result < 0) {
			printf("not ok %s - after place %u: %s\n", call->name, n, strerror(err));
			return 1;
		}
	}
	printf("%s %s (%u)\n", n < MOST ? "ok" : "not ok", call->name, places);
	return n == MOST;
}

/* ---- what it is done with ---- */

static void need(long result, const char *what)
{
	if (result >= 0)
		return;
	printf("not ok %s - %s\n", what, strerror(errno));
	exit(1);
}

static long set_slot(unsigned int nr, uint32_t flags, uint64_t gpa, uint64_t size, void *at)
{
	struct kvm_userspace_memory_region region = {
		.slot = nr, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)at,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static void make_vm(void)
{
	need(vm = ioctl(sys, KVM_CREATE_VM, 0), "a VM");
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
}

static void make_chips(void)
{
	struct kvm_pit_config pit = { 0 };

	need(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "interrupt controllers");
	need(ioctl(vm, KVM_CREATE_PIT2, &pit), "a PIT");
}

/* add edi, 0x201000; mov [edi], edi; and edi, 0x7fffffff; out 0x80, al; jmp back to the start */
static const uint8_t toucher[] = {
	0x81, 0xc7, 0x00, 0x10, 0x20, 0x00, 0x81, 0xe7, 0xff, 0xff, 0xff, 0x7f, 0x89, 0x3f, 0xe6, 0x80, 0xeb, 0xee,
};

static void make_vcpu(void)
{
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rdi = 0x100000 };
	struct kvm_sregs sregs;
	union {
		struct kvm_cpuid2 cpuid;
		uint8_t room[sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2)];
	} set = { .cpuid.nent = ENTRIES };

	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		need(-1, "memory");
	madvise(ram, RAM, MADV_NOHUGEPAGE);
	memcpy(ram + 0x1000, toucher, sizeof(toucher));
	need(set_slot(0, 0, 0, RAM, ram), "a slot");
	need(vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), "a vCPU");
	run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		need(-1, "the page of a vCPU");
	need(ioctl(sys, KVM_GET_SUPPORTED_CPUID, &set), "CPUID");
	need(ioctl(vcpu, KVM_SET_CPUID2, &set), "CPUID");
	need(ioctl(vcpu, KVM_GET_SREGS, &sregs), "registers");
	sregs.cs = (struct kvm_segment){ .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .g = 1, .db = 1 };
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = (struct kvm_segment){
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1 };
	sregs.cr0 |= 1;
	need(ioctl(vcpu, KVM_SET_SREGS, &sregs), "registers");
	need(ioctl(vcpu, KVM_SET_REGS, &regs), "registers");
}

/* ---- the calls that are more than an ioctl ---- */

static void close_it(long fd)
{
	close((int)fd);
}

static long open_device(void)
{
	return open("/dev/lamina", O_RDWR | O_CLOEXEC);
}

static long create_vm(void)
{
	return ioctl(sys, KVM_CREATE_VM, 0);
}

/* A vCPU stays until its VM goes. */
static void fresh_vm(void)
{
	close(vm);
	make_vm();
}

static void fresh_vm_with_chips(void)
{
	fresh_vm();
	make_chips();
}

static long create_vcpu(void)
{
	return ioctl(vm, KVM_CREATE_VCPU, 3);
}

static long create_irqchip(void)
{
	return ioctl(vm, KVM_CREATE_IRQCHIP, 0);
}

static void fresh_irqchip(void)
{
	fresh_vm();
	need(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "interrupt controllers");
}

static long split_irqchip(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	return ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static long add_slot(void)
{
	return set_slot(7, 0, 4ull << 30, 64 << 20, ram);
}

static void remove_slot(long unused)
{
	(void)unused;
	set_slot(7, 0, 4ull << 30, 0, ram);
}

static void have_slot(void)
{
	need(add_slot(), "a slot");
}

static long log_slot(void)
{
	return set_slot(7, KVM_MEM_LOG_DIRTY_PAGES, 4ull << 30, 64 << 20, ram);
}

static long move_slot(void)
{
	return set_slot(7, 0, 5ull << 30, 64 << 20, ram);
}

static long delete_slot(void)
{
	return set_slot(7, 0, 4ull << 30, 0, ram);
}

static long dirty_log(void)
{
	struct kvm_dirty_log log = { .slot = 7, .dirty_bitmap = arg.room };

	return ioctl(vm, KVM_GET_DIRTY_LOG, &log);
}

static void have_log(void)
{
	need(log_slot(), "a log");
}

static long msr_filter(void)
{
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges = {
			{ KVM_MSR_FILTER_READ, 64, 0x10, arg.room }, { KVM_MSR_FILTER_WRITE, 64, 0x200, arg.room },
		},
	};

	return ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter);
}

static void routes(void)
{
	unsigned int i;

	arg.routing.nr = 40;
	for (i = 0; i < arg.routing.nr; i++)
		arg.routing.entries[i] = (struct kvm_irq_routing_entry){
			.gsi = i, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = 0x40 },
		};
}

static int event, resample;

static long irqfd(uint32_t flags)
{
	struct kvm_irqfd set = { .fd = event, .gsi = 5, .flags = flags, .resamplefd = resample };

	return ioctl(vm, KVM_IRQFD, &set);
}

static long irqfd_on(void)
{
	return irqfd(0);
}

static long irqfd_resample(void)
{
	return irqfd(KVM_IRQFD_FLAG_RESAMPLE);
}

static void irqfd_off(long unused)
{
	(void)unused;
	need(irqfd(KVM_IRQFD_FLAG_DEASSIGN), "deassign an irqfd");
}

static long ioeventfd(uint32_t flags, uint64_t addr, uint32_t len)
{
	struct kvm_ioeventfd set = { .fd = event, .addr = addr, .len = len, .flags = flags };

	return ioctl(vm, KVM_IOEVENTFD, &set);
}

static long ioeventfd_on(void)
{
	return ioeventfd(0, 0xd0000000, 4);
}

static void ioeventfd_off(long unused)
{
	(void)unused;
	need(ioeventfd(KVM_IOEVENTFD_FLAG_DEASSIGN, 0xd0000000, 4), "deassign an ioeventfd");
}

static long ioeventfd_port(void)
{
	return ioeventfd(KVM_IOEVENTFD_FLAG_PIO, 0x600, 2);
}

static void ioeventfd_port_off(long unused)
{
	(void)unused;
	need(ioeventfd(KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0x600, 2), "deassign a port");
}

static long vm_stats(void)
{
	return ioctl(vm, KVM_GET_STATS_FD, 0);
}

static long vcpu_stats(void)
{
	return ioctl(vcpu, KVM_GET_STATS_FD, 0);
}

static long read_stats(void)
{
	int fd = ioctl(vcpu, KVM_GET_STATS_FD, 0), err;
	long got;

	if (fd < 0)
		return -1;
	got = read(fd, arg.room, sizeof(arg));
	err = errno;
	close(fd);
	errno = err;
	return got;
}

static long map_run(void)
{
	void *at = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	return at == MAP_FAILED ? -1 : munmap(at, run_size);
}

/* The guest touches memory that it has not touched before, in a table that is not there. */
static long run_guest(void)
{
	if (ioctl(vcpu, KVM_RUN, 0))
		return -1;
	if (run->exit_reason == KVM_EXIT_IO)
		return 0;
	printf("# exit %u\n", run->exit_reason);
	errno = EPROTO;
	return -1;
}

/* The owner gives it back, and it is faulted in anew. */
static void forget_ram(void)
{
	madvise(ram + 0x10000, RAM - 0x10000, MADV_DONTNEED);
}

static void name(void)
{
	static unsigned int n;

	snprintf(arg.name.name, sizeof(arg.name.name), "fault-%u", n++ % 2);
}

static void its_name(void)
{
	struct lamina_name n = { .name = "fault" };

	need(ioctl(vm, LAMINA_SET_NAME, &n), "a name");
	arg.name = n;
}

static long own(void)
{
	return ioctl(vm, LAMINA_OWN, 0);
}

static int owner, handle;

static void *answer(void *unused)
{
	struct lamina_message msg;
	unsigned int i;
	ssize_t len;

	(void)unused;
	for (;;) {
		struct pollfd fd = { .fd = owner, .events = POLLIN };

		poll(&fd, 1, -1);
		len = read(owner, &msg, sizeof(msg));
		if (!len)
			return NULL;	/* the VM is gone */
		if (len != sizeof(msg))
			continue;
		for (i = 0; i < msg.nr_fds; i++)
			close(msg.fds[i]);
		msg = (struct lamina_message){ .id = msg.id, .len = 3, .data = "+ok" };
		if (write(owner, &msg, sizeof(msg)) < 0)
			continue;
	}
}

static long call_owner(void)
{
	struct lamina_message msg = { .len = 4, .data = "ask", .nr_fds = 2, .timeout_ms = 10000 };

	msg.fds[0] = event;
	msg.fds[1] = resample;
	return ioctl(handle, LAMINA_CALL, &msg);
}

static int image;

/* From nothing to a disk that could be started; it goes with its descriptor. */
static long make_disk(void)
{
	struct kvm_create_device create = { .type = LAMINA_DEV_TYPE_BLK };
	struct lamina_blk_backing backing = { .fd = image };
	struct lamina_blk_queue queue = { .size = 256, .desc = 0x20000, .driver = 0x22000, .device = 0x24000 };
	struct lamina_blk_irq irq = { .kind = LAMINA_BLK_IRQ_EVENTFD, .fd = event };
	struct lamina_blk_doorbell bell = { .addr = 0xd0001000 };
	uint64_t features = 1ull << 32;
	uint32_t state = LAMINA_BLK_STATE_RUNNING;
	struct {
		uint64_t attr;
		void *value;
	} sets[] = {
		{ LAMINA_BLK_BACKING, &backing }, { LAMINA_BLK_FEATURES, &features }, { LAMINA_BLK_EVENT, &resample },
		{ LAMINA_BLK_QUEUE, &queue }, { LAMINA_BLK_IRQ, &irq }, { LAMINA_BLK_DOORBELL, &bell },
		{ LAMINA_BLK_STATE, &state },
	};
	unsigned int i;
	int err;

	if (ioctl(vm, KVM_CREATE_DEVICE, &create))
		return -1;
	for (i = 0; i < LENGTH(sets); i++) {
		struct kvm_device_attr attr = {
			.group = LAMINA_BLK_GROUP, .attr = sets[i].attr, .addr = (uintptr_t)sets[i].value,
		};

		if (!ioctl(create.fd, KVM_SET_DEVICE_ATTR, &attr))
			continue;
		err = errno;
		close(create.fd);
		errno = err;
		return -1;
	}
	return create.fd;
}

/* A whole VM, which goes while allocations fail. */
static void whole_vm(void)
{
	fresh_vm_with_chips();
	if (ram)
		munmap(ram, RAM);
	munmap(run, run_size);
	close(vcpu);
	make_vcpu();
	need(run_guest(), "run");
	need(irqfd_on(), "an irqfd");
	need(ioeventfd_on(), "an ioeventfd");
}

static long close_all(void)
{
	munmap(run, run_size);
	close(vcpu);
	return close(vm);
}

static void whole_again(long unused)
{
	(void)unused;
	make_vm();
	make_chips();
	munmap(ram, RAM);
	make_vcpu();
}

static void cpuid_room(void) { arg.cpuid.nent = ENTRIES; }
static void list_room(void) { arg.list.nmsrs = 1000; }

static void some_msrs(void)
{
	static const uint32_t which[] = { 0x10, 0x1b, 0x277, 0xc0000080, 0xc0000102, 0x4b564d01 };
	unsigned int i;

	arg.msrs.nmsrs = LENGTH(which);
	for (i = 0; i < LENGTH(which); i++)
		arg.msrs.entries[i].index = which[i];
}

static void msr_values(void)
{
	some_msrs();
	need(ioctl(vcpu, KVM_GET_MSRS, &arg), "MSRs");
}

static void same_cpuid(void)
{
	cpuid_room();
	need(ioctl(vcpu, KVM_GET_CPUID2, &arg), "CPUID");
}

static void msi(void)
{
	arg.words[0] = 0xfee00000;
	arg.words[2] = 0x41;
}

static void mask(void)
{
	arg.words[0] = 8;
}

#define SYS(name, prep) { #name, prep, .code = name, .fd = &sys }
#define VM(name, prep) { #name, prep, .code = name, .fd = &vm }
#define VM_OF(set, get_, first_) { #set, .code = set, .fd = &vm, .get = get_, .first = first_ }
#define VCPU(name, prep) { #name, prep, .code = name, .fd = &vcpu }
#define VCPU_OF(set, get_) { #set, .code = set, .fd = &vcpu, .get = get_ }

static const struct call calls[] = {
	{ "open /dev/lamina", .run = open_device, .undo = close_it },
	{ "KVM_CREATE_VM", .run = create_vm, .undo = close_it },
	SYS(KVM_GET_SUPPORTED_CPUID, cpuid_room), SYS(KVM_GET_EMULATED_CPUID, cpuid_room),
	SYS(KVM_GET_MSR_INDEX_LIST, list_room), SYS(KVM_GET_MSR_FEATURE_INDEX_LIST, list_room),
	SYS(KVM_X86_GET_MCE_CAP_SUPPORTED, NULL),

	{ "KVM_SET_USER_MEMORY_REGION: create", .run = add_slot, .undo = remove_slot },
	{ "KVM_SET_USER_MEMORY_REGION: log", have_slot, log_slot, remove_slot },
	{ "KVM_GET_DIRTY_LOG", have_log, dirty_log, remove_slot },
	VM_OF(KVM_IRQ_LINE, 0, 5), VM_OF(KVM_IRQ_LINE_STATUS, 0, 5), VM(KVM_SIGNAL_MSI, msi),
	VM(KVM_GET_IRQCHIP, NULL), VM_OF(KVM_SET_IRQCHIP, KVM_GET_IRQCHIP, 2), VM(KVM_GET_PIT2, NULL),
	VM_OF(KVM_SET_PIT2, KVM_GET_PIT2, 0), VM(KVM_GET_CLOCK, NULL), VM(KVM_SET_CLOCK, NULL),
	VM(KVM_REINJECT_CONTROL, NULL),
	VM(KVM_SET_GSI_ROUTING, routes),
	{ "KVM_IRQFD", .run = irqfd_on, .undo = irqfd_off },
	{ "KVM_IRQFD: resample", .run = irqfd_resample, .undo = irqfd_off },
	{ "KVM_IOEVENTFD", .run = ioeventfd_on, .undo = ioeventfd_off },
	{ "KVM_IOEVENTFD: port", .run = ioeventfd_port, .undo = ioeventfd_port_off },
	{ "KVM_X86_SET_MSR_FILTER", .run = msr_filter },
	{ "KVM_GET_STATS_FD", .run = vm_stats, .undo = close_it },
	VM(LAMINA_SET_NAME, name),
	{ "LAMINA_OPEN", its_name, .code = LAMINA_OPEN, .fd = &sys, .undo = close_it },
	VM_OF(LAMINA_SET_STATE, 0, LAMINA_STATE_RUNNING),
	{ "LAMINA_CALL", .run = call_owner },
	{ "a disk", .run = make_disk, .undo = close_it },

	VCPU(KVM_GET_REGS, NULL), VCPU_OF(KVM_SET_REGS, KVM_GET_REGS), VCPU(KVM_GET_SREGS, NULL),
	VCPU_OF(KVM_SET_SREGS, KVM_GET_SREGS), VCPU(KVM_GET_SREGS2, NULL), VCPU_OF(KVM_SET_SREGS2, KVM_GET_SREGS2),
	VCPU(KVM_TRANSLATE, NULL), VCPU(KVM_GET_FPU, NULL), VCPU_OF(KVM_SET_FPU, KVM_GET_FPU),
	VCPU(KVM_GET_XSAVE, NULL), VCPU_OF(KVM_SET_XSAVE, KVM_GET_XSAVE), VCPU(KVM_GET_XSAVE2, NULL),
	VCPU(KVM_GET_DEBUGREGS, NULL), VCPU_OF(KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS),
	VCPU(KVM_GET_MSRS, some_msrs), VCPU(KVM_SET_MSRS, msr_values),
	VCPU(KVM_GET_CPUID2, cpuid_room), VCPU(KVM_SET_CPUID2, same_cpuid),
	VCPU(KVM_GET_LAPIC, NULL), VCPU_OF(KVM_SET_LAPIC, KVM_GET_LAPIC),
	VCPU(KVM_GET_MP_STATE, NULL), VCPU_OF(KVM_SET_MP_STATE, KVM_GET_MP_STATE),
	VCPU(KVM_GET_VCPU_EVENTS, NULL), VCPU_OF(KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS),
	VCPU(KVM_SET_SIGNAL_MASK, mask),
	{ "KVM_GET_STATS_FD of a vCPU", .run = vcpu_stats, .undo = close_it },
	{ "read statistics", .run = read_stats },
	{ "map a vCPU's page", .run = map_run },
	{ "KVM_RUN", .run = run_guest },
	{ "KVM_RUN: memory that went", forget_ram, .run = run_guest },
	VCPU(KVM_NMI, NULL),

	/* These need a VM of their own each time. */
	{ "close a VM", whole_vm, close_all, whole_again },
	{ "KVM_SET_USER_MEMORY_REGION: move", have_slot, move_slot, remove_slot },
	{ "KVM_SET_USER_MEMORY_REGION: delete", have_slot, delete_slot, NULL },
	{ "LAMINA_OWN", fresh_vm, own, close_it },
	{ "KVM_CREATE_VCPU", fresh_vm_with_chips, create_vcpu, close_it },
	{ "KVM_CREATE_IRQCHIP", fresh_vm, create_irqchip, NULL },
	{ "KVM_CREATE_PIT2", fresh_irqchip, .code = KVM_CREATE_PIT2, .fd = &vm },
	{ "KVM_ENABLE_CAP: split irqchip", fresh_vm, split_irqchip, NULL },
};

static bool wanted(const char *call, char **names)
{
	if (!*names)
		return true;
	while (*names && strcmp(*names, call))
		names++;
	return *names;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned int i;
	int bad = 0;

	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fail_nth < 0) {
		puts("skip faults - no fault injection in this kernel");
		return 0;
	}
	need(sys = open_device(), "/dev/lamina");
	run_size = ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	event = eventfd(0, EFD_NONBLOCK);
	resample = eventfd(0, EFD_NONBLOCK);
	image = memfd_create("image", 0);
	need(ftruncate(image, 1 << 20), "an image");
	make_vm();
	make_chips();
	make_vcpu();
	memset(&arg, 0, sizeof(arg));
	its_name();
	need(owner = own(), "the owner's end");
	need(handle = ioctl(sys, LAMINA_OPEN, &arg), "a handle");
	need(-pthread_create(&thread, NULL, answer, NULL), "a thread");
	for (i = 0; i < LENGTH(calls); i++) {
		if (wanted(calls[i].name, argv + 1))
			bad += try_all(&calls[i]);
	}
	return bad;
}
