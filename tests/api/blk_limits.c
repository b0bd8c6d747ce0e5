// SPDX-License-Identifier: GPL-2.0-only
/* The disk in the module: what it asks of the host, and how much of it at most. */
#define _GNU_SOURCE
#include "blk.h"
#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/resource.h>

/* Somebody who watches the image sees what the guest does, as with any other access. */
void blk_watched(void)
{
	char path[32];
	int file = make_image(), watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct inotify_event ev[4];

	if (watch < 0)
		skip("no inotify");
	setup(file, FEATURES, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	OK(inotify_add_watch(watch, path, IN_ACCESS | IN_MODIFY));
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	IS(read(watch, ev, sizeof(ev)), sizeof(ev[0]));
	IS(ev[0].mask, IN_ACCESS);
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(request(VIRTIO_BLK_T_OUT, 0, DATA, 512, false), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	IS(read(watch, ev, sizeof(ev)), sizeof(ev[0]));
	IS(ev[0].mask, IN_MODIFY);
}

#define LOG(bitmap, gpa) ((bitmap)[(gpa) >> 18] >> ((gpa) >> 12 & 63) & 1)

/* A read into two slots at once is in the dirty logs of both, and of no third page. */
void blk_dirty_slots(void)
{
	uint64_t low[4] = { 0 }, high[4] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = low };
	const uint32_t half = 1 << 19;
	unsigned int i;

	setup(make_image(), FEATURES, 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	OK(slot(0, 0, 0, 0, NULL));
	OK(slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, half, e.ram));
	OK(slot(1, KVM_MEM_LOG_DIRTY_PAGES, half, half, e.ram + half));
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(request(VIRTIO_BLK_T_IN, 0, half - 8192, 20480, true), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	log = (struct kvm_dirty_log) { .slot = 1, .dirty_bitmap = high };
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < 5; i++) {
		IS(LOG(low, half - 4096 * (5 - i)), i >= 3);
		IS(LOG(high, 4096 * i), i < 3);
	}
}

/* How many pages the kernel holds for devices, all of them. */
static long pinned(void)
{
	long n, acquired = 0, released = 0;
	char line[128];
	FILE *f;

	/* The counters are each CPU's; this brings them together. */
	f = fopen("/proc/sys/vm/stat_refresh", "r");
	if (f) {
		n = fread(line, 1, 1, f);
		fclose(f);
	}
	f = fopen("/proc/vmstat", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nr_foll_pin_acquired %ld", &n) == 1)
			acquired = n;
		if (sscanf(line, "nr_foll_pin_released %ld", &n) == 1)
			released = n;
	}
	if (f)
		fclose(f);
	return acquired - released;
}

#define PIECES	(NUM - 2)
#define PIECE	((1u << 20) - DATA)
#define IMAGE	(16u << 20)

/* As many requests as there are descriptors, each for the same pages again and again. */
static void offer_large(uint32_t type)
{
	uint16_t flags = VRING_DESC_F_NEXT | (type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0);
	int i;

	header(HDR, type, 0);
	table(0, HDR, 16, VRING_DESC_F_NEXT);
	for (i = 1; i <= PIECES; i++)
		table(i, DATA, PIECE, flags);
	table(i, STATUS, 1, VRING_DESC_F_WRITE);
	for (i = 0; i < NUM; i++) {
		put(i, TABLE, (PIECES + 2) * 16, VRING_DESC_F_INDIRECT, 0);
		offer(i);
	}
}

static void all_complete(void)
{
	int i;

	e.ram[STATUS] = 0xee;
	for (i = 0; i < NUM; i++)
		TRUE(complete());
	IS(e.ram[STATUS], 0);
	IS(state(), LAMINA_BLK_STATE_RUNNING);
}

static void thaw(int s)
{
	if (ioctl(d.file, FITHAW, 0) || s)
		_exit(1);
}

/* A driver that asks for more than the device takes at a time: the rest waits in the ring, and is done. */
void blk_budget(void)
{
	long before, now = 0, last = -1;
	int i, file;

	/* slower than they come: in workers */
	OK(file = memfd_create("image", MFD_CLOEXEC));
	OK(ftruncate(file, IMAGE));
	setup(file, FEATURES | INDIRECT, 0);
	offer_large(VIRTIO_BLK_T_OUT);
	kick();
	all_complete();
	IS(stats().written_bytes, (uint64_t)NUM * PIECES * PIECE);
	offer_large(VIRTIO_BLK_T_IN);
	kick();
	all_complete();
	OK(close(d.fd));
	/* on a file system that stands still */
	for (i = 0; disks[i] && (disks[i][0] != '/' || !strncmp(disks[i], "/dev/", 5)); i++)
		;
	if (!disks[i])
		skip("no --disk that is a file");
	file = open_disk(disks[i]);
	OK(ftruncate(file, IMAGE));
	setup(file, FEATURES | INDIRECT, 0);
	memset(e.ram + DATA, 1, PIECE);		/* pages of its own: the zero page is not counted */
	before = pinned();
	signal(SIGALRM, thaw);
	OK(ioctl(file, FIFREEZE, 0));
	offer_large(VIRTIO_BLK_T_OUT);
	kick();
	/* perhaps by a worker: until no more are taken */
	for (i = 0; i < 100 && (now == 0 || now != last); i++) {
		usleep(20000);
		last = now;
		now = pinned() - before;
	}
	TRUE(!ready());
	TRUE(now > 16384 / 2);
	check_(now < 16384 + 8192, __FILE__, __LINE__, "pages held", now, 16384);
	thaw(0);
	all_complete();
	OK(set_state(LAMINA_BLK_STATE_RESET));
	now = pinned() - before;
	IS(now, 0);
	OK(ftruncate(file, 1 << 20));
}

/* No range is longer than the driver is told, so that none keeps a worker for long. */
void blk_ranges(void)
{
	int file;

	OK(file = memfd_create("image", MFD_CLOEXEC));
	OK(ftruncate(file, 4ll << 30));
	setup(file, FEATURES | 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES, 0);
	IS(range(VIRTIO_BLK_T_DISCARD, 8, LAMINA_BLK_MAX_DISCARD, 0), 0);
	IS(range(VIRTIO_BLK_T_DISCARD, 8, LAMINA_BLK_MAX_DISCARD + 1, 0), VIRTIO_BLK_S_IOERR);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, LAMINA_BLK_MAX_ZEROES, 1), 0);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, LAMINA_BLK_MAX_ZEROES + 1, 1), VIRTIO_BLK_S_IOERR);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, ~0u, 0), VIRTIO_BLK_S_IOERR);
}

void blk_devices(void)
{
	struct kvm_create_device c = { .type = LAMINA_DEV_TYPE_BLK };
	struct rlimit few, many;
	int i;

	make_vm();
	for (i = 0; i < LAMINA_BLK_DEVICES; i++)
		OK(ioctl(e.vm, KVM_CREATE_DEVICE, &c));
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &c), ENOSPC);
	OK(close(c.fd));
	/* one that cannot be handed over does not stay */
	OK(getrlimit(RLIMIT_NOFILE, &many));
	few = (struct rlimit) { .rlim_cur = c.fd, .rlim_max = many.rlim_max };
	OK(setrlimit(RLIMIT_NOFILE, &few));
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &c), EMFILE);
	OK(setrlimit(RLIMIT_NOFILE, &many));
	OK(ioctl(e.vm, KVM_CREATE_DEVICE, &c));
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &c), ENOSPC);
}

#define GROUP	"/sys/fs/cgroup/blk-charged"

static long number(const char *path, const char *text)
{
	int fd = open(path, (text ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	char line[32] = "";
	long n = -1;

	if (fd < 0)
		return -1;
	if (text)
		n = write(fd, text, strlen(text));
	else if (read(fd, line, sizeof(line) - 1) > 0)
		n = atol(line);
	close(fd);
	return n;
}

/* What a worker has to allocate for a request is the owner's to pay. */
void blk_charged(void)
{
	long before, after;
	int i, file;

	number("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0700) || number(GROUP "/memory.current", NULL) < 0 ||
	    number(GROUP "/cgroup.procs", "0") < 0) {
		rmdir(GROUP);
		skip("no memory control groups");
	}
	OK(file = memfd_create("image", MFD_CLOEXEC));
	OK(ftruncate(file, IMAGE));
	setup(file, FEATURES, 0);
	memset(e.ram + DATA, 1, PIECE);
	before = number(GROUP "/memory.current", NULL);
	for (i = 0; i < 8; i++)
		IS(request(VIRTIO_BLK_T_OUT, i * (PIECE / 512), DATA, PIECE, false), 0);
	after = number(GROUP "/memory.current", NULL);
	TRUE(stats().deferred >= 8);
	check_(after - before >= 7 * (long)PIECE, __FILE__, __LINE__, "charged", after - before,
	       7 * PIECE);
	OK(number("/sys/fs/cgroup/cgroup.procs", "0"));
	OK(rmdir(GROUP));
}
