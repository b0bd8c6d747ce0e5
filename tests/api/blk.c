// SPDX-License-Identifier: GPL-2.0-only
/*
 * The disk in the module: rings that this program lays out in guest memory itself and
 * a guest of a few bytes that rings the doorbell.
 */
#define _GNU_SOURCE
#include "blk.h"

struct blk d;

static int attr(int ioc, uint64_t which, void *p)
{
	struct kvm_device_attr a = { .group = LAMINA_BLK_GROUP, .attr = which,
				     .addr = (uintptr_t)p };

	return ioctl(d.fd, ioc, &a);
}

int set(uint64_t which, void *p)
{
	return attr(KVM_SET_DEVICE_ATTR, which, p);
}

int get(uint64_t which, void *p)
{
	return attr(KVM_GET_DEVICE_ATTR, which, p);
}

int set_state(uint32_t state)
{
	return set(LAMINA_BLK_STATE, &state);
}

uint32_t state(void)
{
	uint32_t s = ~0u;

	OK(get(LAMINA_BLK_STATE, &s));
	return s;
}

struct lamina_blk_stats stats(void)
{
	struct lamina_blk_stats s;

	OK(get(LAMINA_BLK_STATS, &s));
	return s;
}

static int backing(int fd, uint32_t flags)
{
	struct lamina_blk_backing b = { .fd = fd, .flags = flags };

	return set(LAMINA_BLK_BACKING, &b);
}

static int doorbell(uint64_t addr, uint32_t flags)
{
	struct lamina_blk_doorbell b = { .len = 2, .addr = addr, .flags = flags };

	return set(LAMINA_BLK_DOORBELL, &b);
}

static int irq_eventfd(int fd)
{
	struct lamina_blk_irq i = { .kind = LAMINA_BLK_IRQ_EVENTFD, .fd = fd };

	return set(LAMINA_BLK_IRQ, &i);
}

uint64_t taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1 && read(fd, &n, 8) != 8)
		return ~0ull;
	return n;
}

/* A worker may do what a doorbell asks for, and be a bit later than what it did before. */
uint64_t heard(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 10000);
	return taken(fd);
}

static void make_machine(void)
{
	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	/* mov $PORT, %dx; out %ax, %dx; out %al, $DONE; hlt */
	code(0x1000, "\xba\x00\x01\xef\xe6\x55\xf4", 7);
}

static void make_disk(void)
{
	struct kvm_create_device c = { .type = LAMINA_DEV_TYPE_BLK };

	OK(ioctl(e.vm, KVM_CREATE_DEVICE, &c));
	d.fd = c.fd;
	OK(d.irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	OK(d.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int make_image(void)
{
	int fd;

	OK(fd = memfd_create("image", MFD_CLOEXEC));
	OK(ftruncate(fd, SECTORS * 512));
	return fd;
}

/* "direct:" in front: O_DIRECT. */
int open_disk(const char *name)
{
	int flags = O_RDWR | O_CLOEXEC, fd;

	if (!strncmp(name, "direct:", 7)) {
		name += 7;
		flags |= O_DIRECT;
	}
	OK(fd = open(name, flags));
	return fd;
}

void start(uint64_t features)
{
	if (packed)
		features |= RING_PACKED;
	clear_rings();
	OK(set(LAMINA_BLK_FEATURES, &features));
	OK(queue(0));
	OK(irq_eventfd(d.irq));
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
}

void setup(int file, uint64_t features, uint32_t flags)
{
	make_machine();
	make_disk();
	d.file = file;
	OK(backing(file, flags));
	OK(set(LAMINA_BLK_EVENT, &d.event));
	OK(doorbell(PORT, LAMINA_BLK_DOORBELL_PIO));
	start(features);
}

/* The guest rings; afterwards its thread has answered. */
void kick(void)
{
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, DONE);
}

void header(uint64_t at, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };

	memcpy(e.ram + at, &h, sizeof(h));
}

/* One request with @bytes of data at @data; what its status is. */
int request(uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes, bool in)
{
	volatile uint8_t *status = e.ram + STATUS;

	header(HDR, type, sector);
	*status = 0xee;
	put(0, HDR, 16, VRING_DESC_F_NEXT, bytes ? 1 : 2);
	put(1, data, bytes, VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0), 2);
	put(2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
	kick();
	if (!complete())
		return -1;
	IS(d.id, 0);
	if (in && !*status)
		TRUE(d.len >= 1);
	return *status;
}

static void fill(uint64_t at, uint32_t bytes, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < bytes; i += 4) {
		seed = seed * 1664525 + 1013904223;
		memcpy(e.ram + at + i, &seed, 4);
	}
}

/* What the guest wrote is in the image and comes back; through any kind of file. */
static void round_trip(int file, uint64_t features)
{
	static const struct {
		uint32_t sector, bytes;
		uint64_t at;
	} c[] = {
		{ 0, 512, DATA }, { 1, 4096, DATA }, { 9, 8192, DATA + 512 },
		{ 64, 16384, DATA + 4096 }, { 100, 65536, DATA + 3584 }, { SECTORS - 128, 65536, DATA }, { 7, 1024, DATA + 3584 },
	};
	struct lamina_blk_info info;
	unsigned int i, n = 0;
	void *copy = NULL;
	uint64_t back;

	TRUE(posix_memalign(&copy, 4096, 65536) == 0);
	setup(file, features, 0);
	OK(get(LAMINA_BLK_INFO, &info));
	back = DATA + 0x20000 + info.block_size;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		/* what the device was told not to ask for */
		if ((c[i].sector * 512 | c[i].bytes | c[i].at) % info.block_size)
			continue;
		n++;
		fill(c[i].at, c[i].bytes, i + 1);
		IS(request(VIRTIO_BLK_T_OUT, c[i].sector, c[i].at, c[i].bytes, false), 0);
		IS(d.len, 1);
		IS(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0, false), 0);
		IS(pread(file, copy, c[i].bytes, c[i].sector * 512ull), c[i].bytes);
		IS(memcmp(copy, e.ram + c[i].at, c[i].bytes), 0);
		memset(e.ram + back, 0, c[i].bytes + 4096);
		IS(request(VIRTIO_BLK_T_IN, c[i].sector, back, c[i].bytes, true), 0);
		IS(d.len, c[i].bytes + 1);
		IS(memcmp(copy, e.ram + back, c[i].bytes), 0);
		IS(e.ram[back + c[i].bytes], 0);
	}
	IS(state(), LAMINA_BLK_STATE_RUNNING);
	TRUE(n >= 1);
	IS(stats().reads, n);
	IS(stats().writes, n);
	IS(stats().flushes, n);
	IS(stats().errors, 0);
	TRUE(heard(d.irq) >= 1);
	free(copy);
}

static void blk_memfd(void)
{
	round_trip(make_image(), FEATURES);
}

static void blk_write_through(void)
{
	round_trip(make_image(), 1ull << VIRTIO_F_VERSION_1);
}

static void blk_disks(void)
{
	int status, i;
	pid_t pid;

	if (!disks[0])
		skip("no --disk");
	for (i = 0; disks[i]; i++) {
		pid = fork();
		if (!pid) {
			round_trip(open_disk(disks[i]), FEATURES);
			_exit(0);
		}
		IS(waitpid(pid, &status, 0), pid);
		IS(status, 0);
	}
}

/* What is in the page cache is answered in the vCPU's thread, with no worker. */
static void blk_at_once(void)
{
	int i, at_once = 0;
	uint64_t before;

	for (i = 0; disks[i] && strncmp(disks[i], "/dev/", 5); i++)
		;
	if (!disks[i])
		skip("no --disk that is a block device");
	setup(open_disk(disks[i]), FEATURES, 0);
	IS(request(VIRTIO_BLK_T_IN, 8, DATA, 4096, true), 0);
	before = stats().deferred;
	put(2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	for (i = 0; i < 10; i++) {
		offer(0);
		kick();
		/* already when the guest goes on; but a worker that looks finds it first */
		at_once += ready();
		TRUE(complete());
	}
	TRUE(at_once >= 1);
	IS(stats().deferred, before);
	IS(e.ram[STATUS], 0);
}

static void blk_attributes(void)
{
	struct kvm_create_device c = { .type = LAMINA_DEV_TYPE_BLK, .flags = KVM_CREATE_DEVICE_TEST };
	struct lamina_blk_doorbell b = { .len = 3, .addr = PORT };
	struct lamina_blk_queue q = { .size = NUM };
	struct lamina_blk_irq irq = { .kind = LAMINA_BLK_IRQ_GSI, .gsi = 5 };
	struct kvm_device_attr a = { .attr = LAMINA_BLK_STATE };
	struct lamina_blk_info info;
	uint64_t f;
	int p[2], fd, none = -1, bad = 9999;

	make_vm();
	TRUE(cap(KVM_CAP_DEVICE_CTRL) == 1);
	OK(ioctl(e.vm, KVM_CREATE_DEVICE, &c));
	c.flags = 0x80;
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &c), EINVAL);
	c.flags = 0;
	c.type = 4;
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &c), ENODEV);
	ERR(ioctl(e.vm, KVM_CREATE_DEVICE, BAD_PTR), EFAULT);
	make_disk();
	ERR(ioctl(d.fd, KVM_RUN, 0), ENOTTY);
	ERR(ioctl(d.fd, KVM_SET_DEVICE_ATTR, BAD_PTR), EFAULT);
	OK(ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a));
	a.attr = 0;
	ERR(ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	a.attr = 99;
	ERR(ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	a.attr = LAMINA_BLK_STATE;
	a.group = 1;
	ERR(ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	a.group = 0;
	a.flags = 1;
	ERR(ioctl(d.fd, KVM_HAS_DEVICE_ATTR, &a), EINVAL);
	ERR(set(LAMINA_BLK_INFO, &info), ENXIO);		/* can only be got */
	ERR(get(LAMINA_BLK_SERIAL, &info), ENXIO);
	ERR(set(LAMINA_BLK_STATE, BAD_PTR), EFAULT);
	ERR(get(LAMINA_BLK_STATE, BAD_PTR), EFAULT);
	ERR(set_state(7), EINVAL);
	ERR(set_state(LAMINA_BLK_STATE_RUNNING), ENXIO);	/* no image */
	ERR(get(LAMINA_BLK_INFO, &info), ENXIO);

	ERR(backing(9999, 0), EBADF);
	OK(pipe(p));
	ERR(backing(p[0], 0), EINVAL);
	OK(fd = open("/dev/null", O_RDWR | O_CLOEXEC));
	ERR(backing(fd, 0), EINVAL);
	OK(fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	ERR(backing(fd, 0), EBADF);
	ERR(backing(fd, 2), EINVAL);
	OK(backing(fd, LAMINA_BLK_RDONLY));
	OK(get(LAMINA_BLK_INFO, &info));
	IS(info.flags, LAMINA_BLK_RDONLY);
	OK(get(LAMINA_BLK_FEATURES, &f));
	TRUE(f & 1ull << VIRTIO_BLK_F_RO);
	TRUE(!(f & 1ull << VIRTIO_BLK_F_DISCARD));
	OK(backing(make_image(), 0));
	OK(get(LAMINA_BLK_INFO, &info));
	IS(info.capacity, SECTORS);
	IS(info.block_size, 512);
	OK(get(LAMINA_BLK_FEATURES, &f));
	OK(set(LAMINA_BLK_FEATURES, &f));
	TRUE(f & RING_PACKED);
	f = 1ull << VIRTIO_F_IN_ORDER;
	ERR(set(LAMINA_BLK_FEATURES, &f), EINVAL);
	f = FEATURES;
	OK(set(LAMINA_BLK_FEATURES, &f));

	q.index = LAMINA_BLK_QUEUES;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	ERR(get(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.index = 0;
	q.size = 3;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.size = 2 * LAMINA_BLK_QUEUE_SIZE;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.size = NUM;
	q.desc = 8;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.desc = -16ull;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.desc = 0;
	q.driver = 1;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.driver = 0;
	q.device = 2;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	q.device = 0;
	q.reserved = 1;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);

	ERR(set(LAMINA_BLK_IRQ, &irq), EINVAL);			/* no chips */
	irq.kind = LAMINA_BLK_IRQ_EVENTFD;
	irq.fd = 9999;
	ERR(set(LAMINA_BLK_IRQ, &irq), EBADF);
	irq.kind = 9;
	ERR(set(LAMINA_BLK_IRQ, &irq), EINVAL);
	ERR(set(LAMINA_BLK_EVENT, &bad), EBADF);
	OK(set(LAMINA_BLK_EVENT, &none));
	ERR(set(LAMINA_BLK_DOORBELL, &b), EINVAL);		/* width */
	b.flags = 8;
	ERR(set(LAMINA_BLK_DOORBELL, &b), EINVAL);
	OK(doorbell(PORT, LAMINA_BLK_DOORBELL_PIO));
	OK(doorbell(PORT, LAMINA_BLK_DOORBELL_PIO));		/* in place of itself */
	b = (struct lamina_blk_doorbell) { .index = 1, .len = 2, .addr = PORT,
					   .flags = LAMINA_BLK_DOORBELL_PIO };
	ERR(set(LAMINA_BLK_DOORBELL, &b), EEXIST);
	OK(doorbell(0, LAMINA_BLK_DOORBELL_NONE));
	OK(set(LAMINA_BLK_DOORBELL, &b));

	OK(queue(0));
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(state() & LAMINA_BLK_STATE_RUNNING, LAMINA_BLK_STATE_RUNNING);
	ERR(queue(0), EBUSY);
	ERR(backing(fd, LAMINA_BLK_RDONLY), EBUSY);
	ERR(set(LAMINA_BLK_FEATURES, &f), EBUSY);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	IS(state() & LAMINA_BLK_STATE_RUNNING, 0);	/* no memory: it also needs a reset */
	OK(queue(0));
}

static void blk_commands(void)
{
	char id[LAMINA_BLK_SERIAL_BYTES] = "serial-1234";
	uint32_t zero = 0, no_queue = LAMINA_BLK_QUEUES;

	make_machine();
	make_disk();
	OK(backing(make_image(), 0));
	OK(set(LAMINA_BLK_SERIAL, id));
	OK(doorbell(PORT, LAMINA_BLK_DOORBELL_PIO));
	start(FEATURES);
	memset(e.ram + DATA, 0xff, 32);
	IS(request(VIRTIO_BLK_T_GET_ID, 0, DATA, 20, true), 0);
	IS(memcmp(e.ram + DATA, id, 20), 0);
	IS(e.ram[DATA + 20], 0xff);
	IS(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0, false), 0);
	IS(request(77, 0, DATA, 512, true), VIRTIO_BLK_S_UNSUPP);
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 511, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_IN, SECTORS, DATA, 512, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 1024, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_OUT, ~0ull, DATA, 512, false), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_OUT, 1ull << 55, DATA, 512, false), VIRTIO_BLK_S_IOERR);
	/* no memory behind the data */
	IS(request(VIRTIO_BLK_T_IN, 0, 0xff000, 8192, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_OUT, 0, 1ull << 40, 512, false), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
	/* without the doorbell */
	offer(0);
	OK(set(LAMINA_BLK_KICK, &zero));
	TRUE(complete());
	IS(state(), LAMINA_BLK_STATE_RUNNING);
	IS(stats().errors, 8);
	ERR(set(LAMINA_BLK_KICK, &no_queue), EINVAL);
}

int range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes r = { sector, sectors, flags };

	memcpy(e.ram + DATA, &r, sizeof(r));
	return request(type, 0, DATA, sizeof(r), false);
}

static void blk_discard(void)
{
	int file = make_image(), i;
	struct stat before, after;
	uint64_t f;
	char buf[4096];

	memset(buf, 0x5a, sizeof(buf));
	for (i = 0; i < SECTORS / 8; i++)
		IS(pwrite(file, buf, 4096, i * 4096ull), 4096);
	make_machine();
	make_disk();
	OK(backing(file, 0));
	OK(get(LAMINA_BLK_FEATURES, &f));
	OK(doorbell(PORT, LAMINA_BLK_DOORBELL_PIO));
	start(f & ~(INDIRECT | EVENT | RING_PACKED));
	OK(fstat(file, &before));
	IS(range(VIRTIO_BLK_T_DISCARD, 0, 256, 0), 0);
	OK(fstat(file, &after));
	TRUE(after.st_blocks < before.st_blocks);
	IS(after.st_size, before.st_size);
	/* a file system without the call: zeros are written */
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 801, 399, 0), 0);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 1600, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP), 0);
	IS(pread(file, buf, 4096, 800 * 512), 4096);
	IS(buf[511], 0x5a);
	for (i = 512; i < 4096; i++)
		if (buf[i])
			break;
	IS(i, 4096);
	IS(pread(file, buf, 4096, 1196 * 512), 4096);
	IS(buf[2047], 0);
	IS(buf[2048], 0x5a);
	IS(pread(file, buf, 4096, 1600 * 512), 4096);
	IS(buf[0] | buf[4095], 0);
	IS(range(VIRTIO_BLK_T_DISCARD, 0, 8, 1), VIRTIO_BLK_S_UNSUPP);
	IS(range(VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0), VIRTIO_BLK_S_IOERR);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, 1, SECTORS, 0), VIRTIO_BLK_S_IOERR);
	IS(range(VIRTIO_BLK_T_WRITE_ZEROES, ~0ull, 2, 0), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_DISCARD, 0, DATA, 15, false), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_DISCARD, 0, DATA, 16 * 65, false), VIRTIO_BLK_S_IOERR);
}

static void blk_readonly(void)
{
	int file = make_image();

	IS(pwrite(file, "abcd", 4, 0), 4);
	setup(file, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_BLK_F_RO, LAMINA_BLK_RDONLY);
	IS(request(VIRTIO_BLK_T_OUT, 0, DATA, 512, false), VIRTIO_BLK_S_IOERR);
	IS(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
	IS(memcmp(e.ram + DATA, "abcd", 4), 0);
}

static void blk_shrunk(void)
{
	int file = make_image();
	struct stat st;

	setup(file, FEATURES, 0);
	OK(ftruncate(file, 4096 + 100));
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 4096, true), 0);
	IS(request(VIRTIO_BLK_T_IN, 8, DATA, 512, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 8192, true), VIRTIO_BLK_S_IOERR);
	IS(request(VIRTIO_BLK_T_OUT, 100, DATA, 512, false), VIRTIO_BLK_S_IOERR);
	OK(fstat(file, &st));
	IS(st.st_size, 4096 + 100);
	OK(ftruncate(file, SECTORS * 512));
	IS(request(VIRTIO_BLK_T_OUT, 100, DATA, 512, false), 0);
}

/* A descriptor of the chain that pieces() offers: in an indirect table, or from the second on in the ring. */
static void piece(bool indirect, int i, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (indirect)
		table(i, addr, len, flags);
	else
		put(i + 1, addr, len, flags, i + 2);
}

static void offer_pieces(bool indirect, int n)
{
	if (indirect)
		put(0, TABLE, n * 16, VRING_DESC_F_INDIRECT, 0);
	offer(indirect ? 0 : 1);
	kick();
	TRUE(complete());
	IS(d.id, indirect ? 0 : 1);
}

/* Header, data and status cut into pieces, in one indirect table and without. */
static void pieces(bool indirect)
{
	const uint16_t more = VRING_DESC_F_NEXT, write = VRING_DESC_F_WRITE;
	uint8_t want[1024];

	header(HDR, VIRTIO_BLK_T_OUT, 5);
	fill(DATA, 1024, 99);
	memcpy(want, e.ram + DATA, 1024);
	piece(indirect, 0, HDR, 7, more);
	piece(indirect, 1, HDR + 7, 8, more);
	piece(indirect, 2, HDR + 15, 1, more);
	piece(indirect, 3, DATA, 100, more);
	piece(indirect, 4, 1, 0, more);
	piece(indirect, 5, DATA + 100, 924, more);
	piece(indirect, 6, STATUS, 1, write);
	e.ram[STATUS] = 0xee;
	offer_pieces(indirect, 7);
	IS(e.ram[STATUS], 0);
	/* header and first data in one piece, last data and status in one */
	header(HDR, VIRTIO_BLK_T_IN, 5);
	memset(e.ram + DATA, 0, 2048);
	piece(indirect, 0, HDR, 16, more);
	piece(indirect, 1, DATA, 24, more | write);
	piece(indirect, 2, DATA + 24, 1001, write);
	e.ram[DATA + 1024] = 0xee;
	offer_pieces(indirect, 3);
	IS(e.ram[DATA + 1024], 0);
	IS(memcmp(e.ram + DATA, want, 1024), 0);
	IS(d.len, 1025);
}

static void blk_pieces(void)
{
	int i;

	setup(make_image(), FEATURES | INDIRECT, 0);
	for (i = 0; i < 5; i++) {
		pieces(false);
		pieces(true);
	}
	IS(state(), LAMINA_BLK_STATE_RUNNING);
}

/* GET_ID in one descriptor: header and answer in an indirect table. */
static void offer_ids(int n)
{
	header(HDR, VIRTIO_BLK_T_GET_ID, 0);
	table(0, HDR, 16, VRING_DESC_F_NEXT);
	table(1, DATA, 20, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	table(2, STATUS, 1, VRING_DESC_F_WRITE);
	put(0, TABLE, 48, VRING_DESC_F_INDIRECT, 0);
	while (n--)
		offer(0);
	kick();
}

/* Interrupts: the flag, and the event index; many requests with one doorbell. */
static void blk_events(void)
{
	int i, lap;

	setup(make_image(), FEATURES | INDIRECT, 0);
	offer_ids(1);
	TRUE(complete());
	IS(heard(d.irq), 1);
	want_none();
	offer_ids(1);
	TRUE(complete());
	IS(taken(d.irq), 0);
	OK(set_state(LAMINA_BLK_STATE_RESET));
	start(FEATURES | INDIRECT | EVENT);
	want_after(2);
	for (i = 0; i < 3; i++) {
		IS(taken(d.irq), 0);
		offer_ids(1);
		TRUE(complete());
		TRUE(rearmed());
	}
	IS(heard(d.irq), 1);
	/* the third of five that come together, a few times around the ring */
	for (lap = 0; lap < 20; lap++) {
		want_after(2);
		offer_ids(5);
		for (i = 0; i < 5; i++)
			TRUE(complete());
		IS(heard(d.irq), 1);
		IS(taken(d.irq), 0);
		TRUE(rearmed());
	}
	want_none();
	offer_ids(1);
	TRUE(complete());
}

/* A real interrupt, and a doorbell that is memory. */
static void blk_msi(void)
{
	struct lamina_blk_irq irq = { .kind = LAMINA_BLK_IRQ_MSI, .address_lo = 0xfee00000,
				      .data = 0x4020 };
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + sizeof(r->entries[0]));
	struct kvm_lapic_state l;
	int i;

	setup(make_image(), FEATURES, 0);
	OK(doorbell(0x100000, 0));
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
	*(uint32_t *)(l.regs + 0xf0) = 0x1ff;
	OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
	r->nr = 1;
	r->entries[0] = (struct kvm_irq_routing_entry) {
		.gsi = 30, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x4020 },
	};
	OK(ioctl(e.vm, KVM_SET_GSI_ROUTING, r));
	*(uint32_t *)(e.ram + 0x20 * 4) = 0x1100;
	code(0x1100, "\xe6\x56\xf4", 3);		/* out %al, $0x56; hlt */
	/* mov $0xffff, %ax; mov %ax, %ds; mov %ax, 0x10; sti; hlt; jmp back */
	code(0x1200, "\xb8\xff\xff\x8e\xd8\xa3\x10\x00\xfb\xf4\xeb\xfd", 12);
	for (i = 0; i < 6; i++) {
		irq.kind = i % 2 ? LAMINA_BLK_IRQ_GSI : LAMINA_BLK_IRQ_MSI;
		irq.gsi = 30;
		OK(set(LAMINA_BLK_IRQ, &irq));
		header(HDR, i < 4 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_FLUSH, 0);
		put(0, HDR, 16, VRING_DESC_F_NEXT, i < 4 ? 1 : 2);
		put(1, DATA, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
		put(2, STATUS, 1, VRING_DESC_F_WRITE, 0);
		offer(0);
		real_mode(e.vcpu, 0x1200);
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_IO);
		IS(e.run->io.port, 0x56);
		TRUE(ready());
		TRUE(complete());
		OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
		memset(l.regs + 0x100, 0, 0x80);
		OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
	}
	IS(stats().irqs, 6);
	free(r);
}

static void blk_dirty(void)
{
	uint64_t bitmap[4];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
#define DIRTY(gpa) (bitmap[(gpa) >> 18] >> ((gpa) >> 12 & 63) & 1)

	setup(make_image(), FEATURES | EVENT, 0);
	OK(slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 1 << 20, e.ram));
	IS(request(VIRTIO_BLK_T_IN, 0, DATA + 4096, 12288, true), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));	/* all is written, and marked */
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	IS(DIRTY(DATA), 0);
	IS(DIRTY(DATA + 4096), 1);
	IS(DIRTY(DATA + 8192), 1);
	IS(DIRTY(DATA + 12288), 1);
	IS(DIRTY(DATA + 16384), 0);
	IS(DIRTY(USED), 1);
	IS(DIRTY(packed ? PACKED : STATUS), 1);
	IS(DIRTY(STATUS), 1);
	IS(DIRTY(AVAIL), 0);
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(request(VIRTIO_BLK_T_OUT, 0, DATA + 4096, 4096, false), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	IS(DIRTY(DATA + 4096), 0);
	IS(DIRTY(STATUS), 1);
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	OK(slot(0, 0, 0, 1 << 20, e.ram));
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 4096, true), 0);
}

/* The same over packed rings. */
#define PACKED_TEST(name) static void packed_##name(void) { packed = true; name(); }
PACKED_TEST(blk_memfd)
PACKED_TEST(blk_disks)
PACKED_TEST(blk_at_once)
PACKED_TEST(blk_commands)
PACKED_TEST(blk_pieces)
PACKED_TEST(blk_events)
PACKED_TEST(blk_msi)
PACKED_TEST(blk_dirty)
PACKED_TEST(blk_hostile)
PACKED_TEST(blk_fuzz)
PACKED_TEST(blk_stop)
PACKED_TEST(blk_killed)
PACKED_TEST(blk_budget)

/* What a packed ring may be. */
static void packed_queues(void)
{
	struct lamina_blk_queue q = { .size = PACKED_NUM };
	uint64_t f = FEATURES | RING_PACKED, split = FEATURES;
	unsigned int i;

	make_vm();
	make_disk();
	OK(backing(make_image(), 0));
	OK(set(LAMINA_BLK_FEATURES, &f));
	for (i = 0; i < 4; i++) {
		q.driver = i == 0 ? 2 : 0;
		q.device = i == 1 ? 2 : 0;
		q.last_avail = i == 2 ? PACKED_NUM : 0;
		q.last_used = i == 3 ? PACKED_NUM | LAMINA_BLK_WRAP : 0;
		ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
	}
	q.last_avail = 1;
	q.last_used = (PACKED_NUM - 1) | LAMINA_BLK_WRAP;
	OK(set(LAMINA_BLK_QUEUE, &q));
	memset(&q, 0, sizeof(q));
	OK(get(LAMINA_BLK_QUEUE, &q));
	IS(q.size, PACKED_NUM);
	IS(q.last_avail, 1);
	IS(q.last_used, (PACKED_NUM - 1) | LAMINA_BLK_WRAP);
	OK(set(LAMINA_BLK_FEATURES, &f));
	ERR(set(LAMINA_BLK_FEATURES, &split), EBUSY);
	q = (struct lamina_blk_queue) { 0 };
	OK(set(LAMINA_BLK_QUEUE, &q));
	OK(set(LAMINA_BLK_FEATURES, &split));
	q.size = PACKED_NUM;
	ERR(set(LAMINA_BLK_QUEUE, &q), EINVAL);
}

const struct test blk_tests[] = {
	{ "blk-attributes", blk_attributes }, { "blk-memfd", blk_memfd },
	{ "blk-write-through", blk_write_through }, { "blk-disks", blk_disks },
	{ "blk-at-once", blk_at_once }, { "blk-commands", blk_commands },
	{ "blk-discard", blk_discard }, { "blk-readonly", blk_readonly },
	{ "blk-shrunk", blk_shrunk }, { "blk-pieces", blk_pieces }, { "blk-events", blk_events },
	{ "blk-msi", blk_msi }, { "blk-dirty", blk_dirty }, { "blk-hostile", blk_hostile },
	{ "blk-fuzz", blk_fuzz }, { "blk-stop", blk_stop }, { "blk-closed", blk_closed },
	{ "blk-killed", blk_killed }, { "blk-own-fault", blk_own_fault },
	{ "blk-forked", blk_forked },
	{ "blk-watched", blk_watched }, { "blk-dirty-slots", blk_dirty_slots },
	{ "blk-budget", blk_budget }, { "blk-ranges", blk_ranges },
	{ "blk-devices", blk_devices }, { "blk-charged", blk_charged },
	{ "packed-queues", packed_queues }, { "packed-memfd", packed_blk_memfd },
	{ "packed-disks", packed_blk_disks }, { "packed-at-once", packed_blk_at_once },
	{ "packed-commands", packed_blk_commands }, { "packed-pieces", packed_blk_pieces },
	{ "packed-events", packed_blk_events }, { "packed-msi", packed_blk_msi },
	{ "packed-dirty", packed_blk_dirty }, { "packed-hostile", packed_blk_hostile },
	{ "packed-fuzz", packed_blk_fuzz }, { "packed-stop", packed_blk_stop },
	{ "packed-killed", packed_blk_killed }, { "packed-budget", packed_blk_budget },
	{ NULL, NULL },
};
