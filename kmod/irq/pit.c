// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 interval timer at ports 0x40 to 0x43, and port 0x61, which holds the gate
 * of channel 2 and the speaker.
 *
 * Counters are not stepped: a count follows from the time since it was loaded.
 * Channel 0 has an hrtimer that pulses GSI 0.  A guest that runs late loses no tick
 * unless user space wants it so: ticks wait until the guest has acknowledged the one
 * before (KVM_REINJECT_CONTROL).
 *
 * BCD counting is remembered and reported, but counts are binary.
 */
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chips.h"

enum { LM_PIT_LATCH, LM_PIT_LSB, LM_PIT_MSB, LM_PIT_WORD0, LM_PIT_WORD1 };

/* ---- counting ---- */

static u64 lm_pit_ticks_to_ns(u64 ticks)
{
	return mul_u64_u64_div_u64(ticks, NSEC_PER_SEC, LM_PIT_HZ);
}

/* Ticks of the 8254's clock that a channel has counted. */
static u64 lm_pit_elapsed(const struct lm_pit *pit, unsigned int n)
{
	const struct kvm_pit_channel_state *c = &pit->ch[n];
	s64 now = c->gate ? ktime_get() : pit->frozen[n];

	return now <= c->count_load_time ? 0 :
	       mul_u64_u64_div_u64(now - c->count_load_time, LM_PIT_HZ, NSEC_PER_SEC);
}

static u16 lm_pit_count(const struct lm_pit *pit, unsigned int n)
{
	const struct kvm_pit_channel_state *c = &pit->ch[n];
	u64 d = lm_pit_elapsed(pit, n);

	switch (c->mode) {
	case 2:
		return c->count - d % c->count;
	case 3:		/* counts by two, twice a period */
		return c->count - d * 2 % c->count;
	default:
		return c->count - d;
	}
}

static bool lm_pit_out(const struct lm_pit *pit, unsigned int n)
{
	const struct kvm_pit_channel_state *c = &pit->ch[n];
	u64 d = lm_pit_elapsed(pit, n);

	switch (c->mode) {
	case 0:
	case 1:
		return d >= c->count;
	case 2:		/* low for the last clock of a period */
		return d % c->count != c->count - 1;
	case 3:
		return d % c->count < (c->count + 1) / 2;
	default:	/* low for one clock at the end */
		return d != c->count;
	}
}

/* ---- channel 0's interrupt ---- */

/* Called without the lock.  Nobody took it: there is no acknowledge to wait for. */
static void lm_pit_pulse(struct lm_pit *pit)
{
	unsigned long flags;
	int r;

	r = lm_irq_line(pit->vm, 0, 1, LM_SRC_PIT);
	lm_irq_line(pit->vm, 0, 0, LM_SRC_PIT);
	if (r >= 0)
		return;
	raw_spin_lock_irqsave(&pit->lock, flags);
	pit->acked = true;
	pit->pending = 0;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

/* So many periods ended.  Returns whether the guest gets an interrupt now. */
static bool lm_pit_tick(struct lm_pit *pit, u64 n)
{
	bool pulse;

	if (!pit->reinject)
		return true;
	pit->pending = min_t(u64, pit->pending + n, LM_PIT_MAX_PENDING);
	pulse = pit->acked;
	pit->acked = false;
	return pulse;
}

static enum hrtimer_restart lm_pit_expired(struct hrtimer *hrt)
{
	struct lm_pit *pit = container_of(hrt, struct lm_pit, hrt);
	enum hrtimer_restart restart = HRTIMER_NORESTART;
	bool pulse = false;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	/* Stopped, or started anew, while this call waited for the lock? */
	if (pit->armed && !hrtimer_is_queued(hrt)) {
		u64 n = 1;

		if (pit->period) {
			n = hrtimer_forward_now(hrt, ns_to_ktime(pit->period));
			restart = HRTIMER_RESTART;
		} else {
			pit->armed = false;
		}
		pulse = lm_pit_tick(pit, n);
	}
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	if (pulse)
		lm_pit_pulse(pit);
	return restart;
}

/**
 * lm_pit_ack() - the guest has ended the service of the timer's interrupt
 * @pit: the PIT; its lock not held
 */
void lm_pit_ack(struct lm_pit *pit)
{
	unsigned long flags;
	bool pulse;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (pit->pending)
		pit->pending--;
	pulse = pit->reinject && pit->pending;
	pit->acked = !pulse;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	if (pulse)
		lm_pit_pulse(pit);
}

/* The pin was masked: a tick may have been lost on the way, so start afresh. */
void lm_pit_unmasked(struct lm_pit *pit)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	pit->acked = true;
	pit->pending = 0;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

static void lm_pit_stop(struct lm_pit *pit)
{
	pit->armed = false;
	pit->pending = 0;
	hrtimer_try_to_cancel(&pit->hrt);	/* the callback looks at armed */
}

static void lm_pit_start(struct lm_pit *pit)
{
	const struct kvm_pit_channel_state *c = &pit->ch[0];
	u64 ns = lm_pit_ticks_to_ns(c->count);

	lm_pit_stop(pit);
	pit->acked = true;
	/* The HPET took the interrupt over; modes 1 and 5 need a gate that is tied high. */
	if ((pit->flags & KVM_PIT_FLAGS_HPET_LEGACY) || c->mode == 1 || c->mode == 5)
		return;
	pit->period = 0;
	if (c->mode == 2 || c->mode == 3) {
		ns = max_t(u64, ns, LM_TIMER_MIN_NS);
		pit->period = ns;
	}
	pit->armed = true;
	hrtimer_start(&pit->hrt, ktime_add_ns(c->count_load_time, ns), HRTIMER_MODE_ABS_HARD);
}

static void lm_pit_load(struct lm_pit *pit, unsigned int n, u32 count)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];

	c->count = count ?: 0x10000;
	c->count_load_time = ktime_get();
	pit->frozen[n] = c->count_load_time;
	if (n == 0)
		lm_pit_start(pit);
}

/* ---- ports ---- */

static void lm_pit_latch_count(struct lm_pit *pit, unsigned int n)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];

	if (c->count_latched)
		return;
	c->latched_count = lm_pit_count(pit, n);
	c->count_latched = c->rw_mode;
}

static void lm_pit_read_back(struct lm_pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c;
	unsigned int n;

	for (n = 0; n < 3; n++) {
		c = &pit->ch[n];
		if (!(val & (2 << n)))
			continue;
		if (!(val & 0x20))
			lm_pit_latch_count(pit, n);
		if (!(val & 0x10) && !c->status_latched) {
			c->status = lm_pit_out(pit, n) << 7 | c->rw_mode << 4 | c->mode << 1 |
				    c->bcd;
			c->status_latched = 1;
		}
	}
}

static void lm_pit_control(struct lm_pit *pit, u8 val)
{
	unsigned int n = val >> 6, access = val >> 4 & 3;
	struct kvm_pit_channel_state *c;

	if (n == 3) {
		lm_pit_read_back(pit, val);
		return;
	}
	n = array_index_nospec(n, 3);
	c = &pit->ch[n];
	if (!access) {
		lm_pit_latch_count(pit, n);
		return;
	}
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	c->count_latched = 0;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3;	/* bit 2 does not matter in modes 2 and 3 */
	c->bcd = val & 1;
	if (n == 0)
		lm_pit_stop(pit);	/* until a count is loaded */
}

static void lm_pit_write_count(struct lm_pit *pit, unsigned int n, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];

	switch (c->write_state) {
	case LM_PIT_LSB:
		lm_pit_load(pit, n, val);
		break;
	case LM_PIT_MSB:
		lm_pit_load(pit, n, val << 8);
		break;
	case LM_PIT_WORD0:
		c->write_latch = val;
		c->write_state = LM_PIT_WORD1;
		break;
	case LM_PIT_WORD1:
		c->write_state = LM_PIT_WORD0;
		lm_pit_load(pit, n, c->write_latch | val << 8);
		break;
	}
}

static u8 lm_pit_read_latched(struct kvm_pit_channel_state *c)
{
	u8 how = c->count_latched;

	if (how == LM_PIT_WORD0) {
		c->count_latched = LM_PIT_MSB;
		return c->latched_count;
	}
	c->count_latched = 0;
	return how == LM_PIT_MSB ? c->latched_count >> 8 : c->latched_count;
}

static u8 lm_pit_read_count(struct lm_pit *pit, unsigned int n)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];
	u16 count;

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return lm_pit_read_latched(c);
	count = lm_pit_count(pit, n);
	switch (c->read_state) {
	case LM_PIT_MSB:
		return count >> 8;
	case LM_PIT_WORD0:
		c->read_state = LM_PIT_WORD1;
		return count;
	case LM_PIT_WORD1:
		c->read_state = LM_PIT_WORD0;
		return count >> 8;
	default:
		return count;
	}
}

/* A low gate holds modes 0 and 4; its rising edge restarts the others. */
static void lm_pit_set_gate(struct lm_pit *pit, unsigned int n, bool gate)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];
	s64 now = ktime_get();

	if (c->gate == gate)
		return;
	if (!gate)
		pit->frozen[n] = now;
	else if (c->mode == 0 || c->mode == 4)
		c->count_load_time += now - pit->frozen[n];
	else
		c->count_load_time = now;
	c->gate = gate;
}

static u8 lm_pit_read_61(struct lm_pit *pit)
{
	/* Bit 4 toggles with each memory refresh: about every 15 microseconds. */
	u8 refresh = ktime_get() >> 14 & 1;

	return pit->ch[2].gate | pit->speaker_on << 1 | refresh << 4 | lm_pit_out(pit, 2) << 5;
}

/**
 * lm_pit_write() - OUT to one of the ports
 * @pit: the PIT
 * @port: 0x40 to 0x43, or 0x61
 * @val: the byte
 */
void lm_pit_write(struct lm_pit *pit, u16 port, u8 val)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (port == 0x61) {
		pit->speaker_on = val >> 1 & 1;
		lm_pit_set_gate(pit, 2, val & 1);
	} else if (port == 0x43) {
		lm_pit_control(pit, val);
	} else {
		lm_pit_write_count(pit, array_index_nospec(port & 3, 3), val);
	}
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

/**
 * lm_pit_read() - IN from one of the ports
 * @pit: the PIT
 * @port: 0x40 to 0x43, or 0x61
 *
 * Return: the byte.
 */
u8 lm_pit_read(struct lm_pit *pit, u16 port)
{
	unsigned long flags;
	u8 val = 0;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (port == 0x61)
		val = lm_pit_read_61(pit);
	else if (port != 0x43)
		val = lm_pit_read_count(pit, array_index_nospec(port & 3, 3));
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return val;
}

/* ---- life ---- */

struct lm_pit *lm_pit_create(struct lm_vm *vm, bool speaker)
{
	struct lm_pit *pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	unsigned int n;

	if (!pit)
		return NULL;
	raw_spin_lock_init(&pit->lock);
	pit->vm = vm;
	pit->speaker = speaker;
	pit->reinject = true;
	pit->acked = true;
	lm_hrtimer_setup(&pit->hrt, lm_pit_expired, HRTIMER_MODE_ABS_HARD);
	for (n = 0; n < 3; n++) {
		pit->ch[n].mode = n == 0 ? 0 : 3;
		/* Without port 0x61 nobody could raise the gate of channel 2. */
		pit->ch[n].gate = n != 2 || !speaker;
		pit->ch[n].rw_mode = LM_PIT_WORD0;
		pit->ch[n].read_state = LM_PIT_WORD0;
		pit->ch[n].write_state = LM_PIT_WORD0;
		pit->ch[n].count = 0x10000;
		pit->ch[n].count_load_time = ktime_get();
		pit->frozen[n] = pit->ch[n].count_load_time;
	}
	return pit;
}

/* Sleepable; nobody programs it any more. */
void lm_pit_free(struct lm_pit *pit)
{
	if (!pit)
		return;
	hrtimer_cancel(&pit->hrt);
	kfree(pit);
}

void lm_pit_state_get(struct lm_pit *pit, struct kvm_pit_state2 *ps)
{
	unsigned long flags;

	memset(ps, 0, sizeof(*ps));
	raw_spin_lock_irqsave(&pit->lock, flags);
	memcpy(ps->channels, pit->ch, sizeof(ps->channels));
	ps->flags = pit->flags | (pit->speaker_on ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

static bool lm_pit_channel_valid(const struct kvm_pit_channel_state *c)
{
	return c->count <= 0x10000 && c->mode <= 5 && c->rw_mode <= LM_PIT_WORD0 &&
	       c->read_state <= LM_PIT_WORD1 && c->write_state <= LM_PIT_WORD1 &&
	       c->count_latched <= LM_PIT_WORD0;
}

/* Counting starts over from the counts given: the loading times are another host's. */
int lm_pit_state_set(struct lm_pit *pit, const struct kvm_pit_state2 *ps)
{
	struct kvm_pit_channel_state *c;
	unsigned long flags;
	unsigned int n;

	if (ps->flags & ~(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON))
		return -EINVAL;
	for (n = 0; n < 3; n++)
		if (!lm_pit_channel_valid(&ps->channels[n]))
			return -EINVAL;

	raw_spin_lock_irqsave(&pit->lock, flags);
	pit->flags = ps->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	pit->speaker_on = ps->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	for (n = 0; n < 3; n++) {
		c = &pit->ch[n];
		*c = ps->channels[n];
		c->bcd &= 1;
		c->gate = n == 2 ? c->gate & 1 : 1;
		c->status_latched = !!c->status_latched;
		lm_pit_load(pit, n, c->count);
	}
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}
