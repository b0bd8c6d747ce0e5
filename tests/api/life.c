// SPDX-License-Identifier: GPL-2.0-only
/* Who may use a VM, in which order it ends, and races between threads. */
#include "api.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void vcpu_outlives_vm(void)
{
	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	code(0x1000, "\xe6\x55\xf4", 3);
	real_mode(e.vcpu, 0x1000);
	OK(close(e.vm));
	OK(close(e.sys));
	/* the vCPU holds the VM */
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	OK(close(e.vcpu));
	/* and its page outlives the descriptor */
	IS(e.run->exit_reason, KVM_EXIT_IO);
}

static void forked(void)
{
	struct kvm_regs r;
	int status;
	pid_t pid;

	make_vm();
	make_ram();
	make_vcpu();
	code(0x1000, "\xe6\x55\xf4", 3);
	real_mode(e.vcpu, 0x1000);
	pid = fork();
	if (!pid) {
		/* another address space: nothing works */
		int bad = 0;

		bad += !(ioctl(e.vcpu, KVM_RUN, 0) < 0 && errno == EIO);
		bad += !(ioctl(e.vcpu, KVM_GET_REGS, &r) < 0 && errno == EIO);
		bad += !(ioctl(e.vm, KVM_CREATE_VCPU, 1) < 0 && errno == EIO);
		bad += !(slot(3, 0, 0x200000, 0x1000, e.ram) < 0 && errno == EIO);
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	IS(WEXITSTATUS(status), 0);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
}

static void forked_ends_later(void)
{
	pid_t pid;
	int status;

	/* the child keeps the descriptors after the parent has gone */
	pid = fork();
	if (!pid) {
		make_vm();
		make_chips();
		make_ram();
		make_vcpu();
		if (!fork()) {
			usleep(300000);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	usleep(600000);
	IS(status, 0);
	make_vm();
	make_vcpu();
}

static volatile bool stop;
static void on_usr1(int s)
{
	(void)s;
	e.run->immediate_exit = 1;
}

static void *runner(void *arg)
{
	long *loops = arg;

	while (!stop) {
		if (!ioctl(e.vcpu, KVM_RUN, 0)) {
			if (e.run->exit_reason == KVM_EXIT_MMIO || e.run->exit_reason == KVM_EXIT_IO)
				(*loops)++;
			else
				return (void *)(long)e.run->exit_reason;
		} else if (errno == EINTR) {
			e.run->immediate_exit = 0;
		} else if (errno != EAGAIN) {
			return (void *)(long)-errno;
		}
	}
	return NULL;
}

static void slots_while_running(void)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	uint8_t *p = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t t;
	long loops = 0;
	void *r;
	int i;

	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	sigaction(SIGUSR1, &sa, NULL);
	/* mov $0xffff, %ax; mov %ax, %ds; 1: incb 0x10; out %al, $0x55; jmp 1b: memory at 1 MiB */
	code(0x1000, "\xb8\xff\xff\x8e\xd8\xfe\x06\x10\x00\xe6\x55\xeb\xf8", 13);
	real_mode(e.vcpu, 0x1000);
	pthread_create(&t, NULL, runner, &loops);
	for (i = 0; i < 300; i++) {
		OK(slot(1, i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0, 0x100000, 0x10000, p));
		if (i & 2)
			OK(slot(1, i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0, 0x200000, 0x10000, p));
		if (!(i % 7))
			pthread_kill(t, SIGUSR1);
		usleep(500);
		OK(slot(1, 0, 0, 0, NULL));
	}
	stop = true;
	for (i = 0; i < 100; i++) {
		pthread_kill(t, SIGUSR1);
		usleep(1000);
	}
	pthread_join(t, &r);
	IS((long)r, 0);
	TRUE(loops > 10);
}

static void vcpu_busy(void)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	struct kvm_regs regs;
	long loops = 0;
	pthread_t t;
	void *r;
	int i;

	/* another thread's ioctl waits for KVM_RUN's lock and gets its turn */
	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	sigaction(SIGUSR1, &sa, NULL);
	code(0x1000, "\xe6\x55\xeb\xfc", 4);		/* out; jmp */
	real_mode(e.vcpu, 0x1000);
	pthread_create(&t, NULL, runner, &loops);
	for (i = 0; i < 20; i++) {
		OK(ioctl(e.vcpu, KVM_GET_REGS, &regs));
		TRUE(regs.rip >= 0x1000 && regs.rip <= 0x1004);
	}
	stop = true;
	for (i = 0; i < 100; i++) {
		pthread_kill(t, SIGUSR1);
		usleep(1000);
	}
	pthread_join(t, &r);
	IS((long)r, 0);
}

static void killed(void)
{
	int i, status;

	/* kill -9 in the middle of a tight loop, again and again */
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid) {
			make_vm();
			make_chips();
			make_ram();
			make_vcpu();
			code(0x1000, "\xfa" SPIN, 5);	/* cli */
			real_mode(e.vcpu, 0x1000);
			ioctl(e.vcpu, KVM_RUN, 0);
			_exit(1);
		}
		usleep(10000 + 3000 * i);
		kill(pid, SIGKILL);
		IS(waitpid(pid, &status, 0), pid);
		IS(WTERMSIG(status), SIGKILL);
	}
}

static void many_vms(void)
{
	int vm[32], vcpu[32], i;

	make_vm();
	for (i = 0; i < 32; i++) {
		OK(vm[i] = ioctl(e.sys, KVM_CREATE_VM, 0));
		OK(vcpu[i] = ioctl(vm[i], KVM_CREATE_VCPU, 0));
	}
	for (i = 31; i >= 0; i--) {
		OK(close(i & 1 ? vm[i] : vcpu[i]));
		OK(close(i & 1 ? vcpu[i] : vm[i]));
	}
}

static void *opener(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		int vm = ioctl(e.sys, KVM_CREATE_VM, 0), v;

		if (vm < 0)
			return (void *)1;
		v = ioctl(vm, KVM_CREATE_VCPU, 0);
		close(vm);
		if (v < 0)
			return (void *)2;
		close(v);
	}
	return NULL;
}

static void create_race(void)
{
	pthread_t t[4];
	void *r;
	int i;

	OK(e.sys = open(device, O_RDWR | O_CLOEXEC));
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, opener, NULL);
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		IS((long)r, 0);
	}
}

const struct test life_tests[] = {
	{ "vcpu-outlives-vm", vcpu_outlives_vm }, { "fork", forked },
	{ "fork-ends-later", forked_ends_later }, { "slots-while-running", slots_while_running },
	{ "vcpu-busy", vcpu_busy }, { "kill-9", killed }, { "many-vms", many_vms },
	{ "create-race", create_race },
	{ NULL, NULL },
};
