// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pause: every vCPU's thread waits at a gate between two runs, and the guest's clock goes on from where
 * it was. The devices stay as they are: what they have for the guest waits in them.
 */
#include <sys/ioctl.h>

#include "control.h"
#include "machine.h"

/**
 * pause_gate() - wait here while the machine is paused
 * @cpu: the vCPU whose thread this is
 */
void pause_gate(struct vcpu *cpu)
{
	struct machine_pause *p = &cpu->m->pause;

	if (!atomic_load(&p->on))
		return;
	pthread_mutex_lock(&p->lock);
	p->waiting++;
	while (atomic_load(&p->on) && !machine_stopping(cpu->m))
		pthread_cond_wait(&p->cond, &p->lock);
	p->waiting--;
	/* A kick to stop comes after the reason to, and a kick for a new pause needs the lock before. */
	__atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->lock);
}

/** pause_release() - the machine stops: nobody waits at the gate any more */
void pause_release(struct machine *m)
{
	pthread_mutex_lock(&m->pause.lock);
	pthread_cond_broadcast(&m->pause.cond);
	pthread_mutex_unlock(&m->pause.lock);
}

/** pause_begin() - send all vCPUs to the gate; before they were started: they begin there */
void pause_begin(struct machine *m)
{
	unsigned int i;

	pthread_mutex_lock(&m->pause.lock);
	atomic_store(&m->pause.on, true);
	pthread_mutex_unlock(&m->pause.lock);
	for (i = 0; i < m->config->cpus; i++)
		vcpu_kick(&m->cpus[i]);
}

/**
 * pause_complete() - are all vCPUs at the gate? The guest's clock is noted then.
 * @m: the machine
 */
bool pause_complete(struct machine *m)
{
	struct kvm_clock_data clock = { 0 };
	bool all;

	pthread_mutex_lock(&m->pause.lock);
	all = m->pause.waiting == m->config->cpus;
	pthread_mutex_unlock(&m->pause.lock);
	if (all && !ioctl(m->vm_fd, KVM_GET_CLOCK, &clock))
		m->pause.clock = clock.clock;
	return all;
}

/** pause_end() - let the vCPUs run (again) */
void pause_end(struct machine *m)
{
	struct kvm_clock_data clock = { .clock = m->pause.clock };

	if (m->pause.clock)
		ioctl(m->vm_fd, KVM_SET_CLOCK, &clock);
	m->pause.clock = 0;
	pthread_mutex_lock(&m->pause.lock);
	atomic_store(&m->pause.on, false);
	pthread_cond_broadcast(&m->pause.cond);
	pthread_mutex_unlock(&m->pause.lock);
}
