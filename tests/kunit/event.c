// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: exceptions, NMIs and interrupts: which goes when, and what becomes of
 * those that an exit interrupts.
 */
#include <kunit/test.h>
#include <linux/slab.h>

/* The source itself, with interrupt controllers of our own. */
#define lm_irq_pending			te_irq_pending
#define lm_irq_to_inject		te_irq_pending
#define lm_irq_ack			te_irq_ack
#define lm_kick				te_kick
#define lm_pv_eoi_sync			te_pv_eoi_sync
#define lm_pv_eoi_arm			te_pv_eoi_arm
#define lm_lapic_isr_plain		te_isr_plain
#define lm_lapic_init_sipi_pending	te_init_sipi_pending
#define lm_exception_merge		te_exception_merge
#define lm_queue_exception		te_queue_exception
#define lm_inject_gp			te_inject_gp
#define lm_inject_ud			te_inject_ud
#define lm_inject_pf			te_inject_pf
#define lm_vcpu_nmi			te_vcpu_nmi
#define lm_events_prepare		te_events_prepare
#define lm_events_cancel		te_events_cancel
#define lm_events_exited		te_events_exited
#define lm_events_user_window		te_events_user_window
#define lm_events_irq_ready		te_events_irq_ready
#define lm_events_runnable		te_events_runnable
#define lm_events_reset			te_events_reset
#define lm_vcpu_events_get		te_vcpu_events_get
#define lm_vcpu_events_set		te_vcpu_events_set
#include "../../kmod/x86/event.c"

static int t_irq;		/* what the controllers offer, -1: nothing */
static int t_then;		/* and after that was taken */
static int t_acks, t_kicks, t_eoi;

/* A vCPU without a LAPIC has what user space injects, too. */
int te_irq_pending(struct lm_vcpu *vcpu)
{
	return t_irq < 0 && !vcpu->lapic ? vcpu->ev.user_irq : t_irq;
}

int te_irq_ack(struct lm_vcpu *vcpu)
{
	int irq = te_irq_pending(vcpu);

	if (t_irq < 0)
		vcpu->ev.user_irq = -1;
	t_irq = t_then;
	t_then = -1;
	t_acks++;
	return irq;
}

void te_kick(struct lm_vcpu *vcpu)
{
	t_kicks++;
}

int te_pv_eoi_sync(struct lm_vcpu *vcpu)
{
	return t_eoi;
}

int te_pv_eoi_arm(struct lm_vcpu *vcpu)
{
	return LM_DONE;
}

bool te_isr_plain(struct lm_vcpu *vcpu)
{
	return false;
}

bool te_init_sipi_pending(struct lm_vcpu *vcpu)
{
	return false;
}

#define GP0		(LM_EV_VALID | LM_EV_EXC | LM_EV_ERROR | 13)
#define EXC(n)		(LM_EV_VALID | LM_EV_EXC | (n))
#define NMI		(LM_EV_VALID | LM_EV_NMI | 2)
#define IRQ(n)		(LM_EV_VALID | LM_EV_INTR | (n))
#define IF		X86_EFLAGS_IF

static int t_init(struct kunit *test)
{
	struct lm_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);

	if (!vcpu)
		return -ENOMEM;
	/* Without a LAPIC, user space is told when it may inject. */
	vcpu->run = kunit_kzalloc(test, sizeof(*vcpu->run), GFP_KERNEL);
	vcpu->vm = kunit_kzalloc(test, sizeof(*vcpu->vm), GFP_KERNEL);
	if (!vcpu->run || !vcpu->vm)
		return -ENOMEM;
	vcpu->valid = LM_S_ALL;
	vcpu->st.cr0 = X86_CR0_PE;
	vcpu->st.rflags = 2;
	vcpu->st.dr6 = 0xffff0ff0;
	te_events_reset(vcpu);
	t_irq = -1;
	t_then = -1;
	t_acks = 0;
	t_kicks = 0;
	t_eoi = LM_DONE;
	test->priv = vcpu;
	return 0;
}

static bool t_asked(struct lm_vcpu *vcpu)
{
	return test_bit(LM_REQ_EVENT, &vcpu->requests);
}

/* Prepare and enter: what was injected? */
static u64 t_enter(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;
	u64 event;

	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_DONE);
	event = vcpu->inject;
	vcpu->inject = 0;
	return event;
}

static void merge(struct kunit *test)
{
	static const u8 contributory[] = { 0, 10, 11, 12, 13 };
	static const u8 benign[] = { 1, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(contributory); i++) {
		u8 c = contributory[i];

		for (j = 0; j < ARRAY_SIZE(contributory); j++)
			KUNIT_EXPECT_EQ(test, (int)te_exception_merge(c, contributory[j]),
					(int)LM_MERGE_DF);
		for (j = 0; j < ARRAY_SIZE(benign); j++) {
			KUNIT_EXPECT_EQ(test, (int)te_exception_merge(c, benign[j]),
					(int)LM_MERGE_NEW);
			KUNIT_EXPECT_EQ(test, (int)te_exception_merge(benign[j], c),
					(int)LM_MERGE_NEW);
		}
		KUNIT_EXPECT_EQ(test, (int)te_exception_merge(c, 14), (int)LM_MERGE_NEW);
		KUNIT_EXPECT_EQ(test, (int)te_exception_merge(14, c), (int)LM_MERGE_DF);
		KUNIT_EXPECT_EQ(test, (int)te_exception_merge(8, c), (int)LM_MERGE_TRIPLE);
	}
	KUNIT_EXPECT_EQ(test, (int)te_exception_merge(14, 14), (int)LM_MERGE_DF);
	KUNIT_EXPECT_EQ(test, (int)te_exception_merge(8, 14), (int)LM_MERGE_TRIPLE);
	KUNIT_EXPECT_EQ(test, (int)te_exception_merge(14, 6), (int)LM_MERGE_NEW);
}

static void exceptions(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	te_inject_gp(vcpu, 0x18);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), GP0 | 0x18ull << 32);
	KUNIT_EXPECT_FALSE(test, t_asked(vcpu));
	KUNIT_EXPECT_TRUE(test, vcpu->st.rflags & X86_EFLAGS_RF);
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);

	/* CR2 changes when it is delivered */
	vcpu->st.cr2 = 1;
	te_inject_pf(vcpu, 0x1234, 6);
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 1ull);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR | 6ull << 32);
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 0x1234ull);

	/* no error codes in real mode */
	vcpu->st.cr0 = 0;
	te_inject_gp(vcpu, 0x18);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(13));
}

static void debug_payload(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.dr6 = 0xffff0ff0 | BIT(14) | 5;
	vcpu->st.dr7 = 0x2400;
	te_queue_exception(vcpu, 1, false, 0, BIT(13) | 2);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(1));
	KUNIT_EXPECT_EQ(test, vcpu->st.dr6, 0xffff0ff0ull | BIT(14) | BIT(13) | 2);
	KUNIT_EXPECT_EQ(test, vcpu->st.dr7, 0x400ull);
}

static void double_and_triple(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	te_inject_pf(vcpu, 0x1000, 0);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR);
	te_events_exited(vcpu, EXC(14) | LM_EV_ERROR, 0);
	te_inject_gp(vcpu, 7);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(8) | LM_EV_ERROR);
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 0x1000ull);
	te_events_exited(vcpu, EXC(8) | LM_EV_ERROR, 0);
	te_inject_gp(vcpu, 7);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests));
	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, vcpu->inject, 0ull);
}

static void interrupts(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	t_irq = 0x31;
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	KUNIT_EXPECT_EQ(test, t_acks, 0);
	vcpu->st.rflags |= IF;
	vcpu->st.shadow = LM_SHADOW_STI;
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	vcpu->st.shadow = 0;
	t_then = 0x41;
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x31));
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x41));
	KUNIT_EXPECT_FALSE(test, vcpu->want_irq_window);
	KUNIT_EXPECT_EQ(test, t_acks, 2);
	/* undelivered: again, and not acknowledged again */
	te_events_exited(vcpu, IRQ(0x41), 0);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	t_irq = 0x51;
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x41));
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	KUNIT_EXPECT_EQ(test, t_acks, 2);
}

static void nmis(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	te_vcpu_nmi(vcpu);
	te_vcpu_nmi(vcpu);
	te_vcpu_nmi(vcpu);
	KUNIT_EXPECT_EQ(test, t_kicks, 3);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->ev.nmi_pending), 2);
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
	KUNIT_EXPECT_TRUE(test, vcpu->ev.nmi_masked);
	KUNIT_EXPECT_TRUE(test, vcpu->want_nmi_window);
	/* one is latched while one is in service */
	te_vcpu_nmi(vcpu);
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->ev.nmi_pending), 1);
	KUNIT_EXPECT_FALSE(test, te_events_runnable(vcpu));
	vcpu->ev.nmi_masked = false;
	KUNIT_EXPECT_TRUE(test, te_events_runnable(vcpu));
	vcpu->st.shadow = LM_SHADOW_MOVSS;
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	vcpu->st.shadow = 0;
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
	KUNIT_EXPECT_FALSE(test, vcpu->want_nmi_window);
	/* interrupted: masks nothing, goes again */
	te_events_exited(vcpu, NMI, 0);
	KUNIT_EXPECT_FALSE(test, vcpu->ev.nmi_masked);
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
	KUNIT_EXPECT_TRUE(test, vcpu->ev.nmi_masked);
}

static void order(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.rflags |= IF;
	t_irq = 0x31;
	te_vcpu_nmi(vcpu);
	te_inject_ud(vcpu);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(6));
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x31));
}

/* An exception raised by the delivery of an interrupt goes first, and the interrupt is not lost. */
static void exception_over_interrupt(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.rflags |= IF;
	te_events_exited(vcpu, IRQ(0x31), 0);
	te_inject_pf(vcpu, 0, 2);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR | 2ull << 32);
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	/* its own delivery is interrupted too */
	te_events_exited(vcpu, EXC(14) | LM_EV_ERROR | 2ull << 32, 0);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR | 2ull << 32);
	/* the handler of the fault */
	vcpu->st.rflags &= ~(u64)IF;
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_TRUE(test, vcpu->want_irq_window);
	vcpu->st.rflags |= IF;
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x31));
	/* an NMI waits as an NMI does */
	te_events_exited(vcpu, NMI, 0);
	te_inject_pf(vcpu, 0, 2);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR | 2ull << 32);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
}

static void soft_events(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	clear_bit(LM_REQ_EVENT, &vcpu->requests);
	te_events_exited(vcpu, LM_EV_VALID | LM_EV_SOFT | 0x80, 2);
	te_events_exited(vcpu, EXC(3), 1);
	te_events_exited(vcpu, EXC(4), 1);
	te_events_exited(vcpu, IRQ(0x31) & ~LM_EV_VALID, 0);
	KUNIT_EXPECT_FALSE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
}

/* #BP of user space: no instruction to run again. */
static void soft_of_user(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;
	struct kvm_vcpu_events e = { .exception = { .injected = 1, .nr = 3 } };

	vcpu->st.rip = 0x1000;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), 0);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(3));
	KUNIT_EXPECT_EQ(test, vcpu->st.rip, 0x1001ull);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	te_events_exited(vcpu, EXC(3), 0);
	KUNIT_EXPECT_EQ(test, vcpu->st.rip, 0x1000ull);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(3));
	/* delivered; its handler's INT3 is interrupted, then one after another entry */
	vcpu->st.rip = 0x2000;
	te_events_exited(vcpu, EXC(3), 0);
	KUNIT_EXPECT_EQ(test, vcpu->st.rip, 0x2000ull);
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	vcpu->st.rip = 0x1001;
	te_events_exited(vcpu, EXC(3), 0);
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
	KUNIT_EXPECT_EQ(test, vcpu->st.rip, 0x1001ull);
}

static void cancel(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.rflags |= IF;
	t_irq = 0x31;
	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_DONE);
	te_events_cancel(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->inject, 0ull);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x31));
	KUNIT_EXPECT_EQ(test, t_acks, 1);
	/* prepared twice for one entry */
	te_inject_pf(vcpu, 0x5000, 0);
	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR);
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 0x5000ull);
	te_vcpu_nmi(vcpu);
	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_enter(test), NMI);
	KUNIT_EXPECT_EQ(test, t_enter(test), 0ull);
}

static void need(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	te_inject_ud(vcpu);
	t_eoi = LM_NEED;
	KUNIT_EXPECT_EQ(test, te_events_prepare(vcpu), (int)LM_NEED);
	KUNIT_EXPECT_TRUE(test, t_asked(vcpu));
	KUNIT_EXPECT_EQ(test, vcpu->inject, 0ull);
	t_eoi = LM_DONE;
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(6));
}

static void halted(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	KUNIT_EXPECT_FALSE(test, te_events_runnable(vcpu));
	t_irq = 0x31;
	KUNIT_EXPECT_FALSE(test, te_events_runnable(vcpu));
	vcpu->st.rflags |= IF;
	KUNIT_EXPECT_TRUE(test, te_events_runnable(vcpu));
	t_irq = -1;
	KUNIT_EXPECT_FALSE(test, te_events_runnable(vcpu));
	set_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests);
	KUNIT_EXPECT_TRUE(test, te_events_runnable(vcpu));
}

static void user_interrupt(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	KUNIT_EXPECT_FALSE(test, te_events_irq_ready(vcpu));
	vcpu->st.rflags |= IF;
	KUNIT_EXPECT_TRUE(test, te_events_irq_ready(vcpu));
	vcpu->ev.user_irq = 0x20;
	KUNIT_EXPECT_FALSE(test, te_events_irq_ready(vcpu));
	KUNIT_EXPECT_EQ(test, t_enter(test), IRQ(0x20));
	KUNIT_EXPECT_EQ(test, vcpu->ev.user_irq, -1);
}

static void get_and_set(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;
	struct kvm_vcpu_events e;

	te_inject_pf(vcpu, 0x9000, 4);
	te_vcpu_nmi(vcpu);
	vcpu->ev.nmi_masked = true;
	vcpu->st.shadow = LM_SHADOW_MOVSS;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_get(vcpu, &e), 0);
	KUNIT_EXPECT_EQ(test, e.exception.injected, 1);
	KUNIT_EXPECT_EQ(test, e.exception.nr, 14);
	KUNIT_EXPECT_EQ(test, e.exception.has_error_code, 1);
	KUNIT_EXPECT_EQ(test, e.exception.error_code, 4u);
	KUNIT_EXPECT_EQ(test, e.nmi.pending, 1);
	KUNIT_EXPECT_EQ(test, e.nmi.masked, 1);
	KUNIT_EXPECT_EQ(test, e.interrupt.shadow, KVM_X86_SHADOW_INT_MOV_SS);
	/* its address is in CR2 by now, and stays there */
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 0x9000ull);

	te_events_reset(vcpu);
	vcpu->st.shadow = 0;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), 0);
	KUNIT_EXPECT_EQ(test, vcpu->st.shadow, (u32)LM_SHADOW_MOVSS);
	KUNIT_EXPECT_TRUE(test, vcpu->ev.nmi_masked);
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(14) | LM_EV_ERROR | 4ull << 32);
	KUNIT_EXPECT_EQ(test, vcpu->st.cr2, 0x9000ull);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->ev.nmi_pending), 1);

	/* what is no exception */
	e.exception.nr = 32;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), -EINVAL);
	e.exception.nr = 2;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), -EINVAL);
	e.exception.nr = 6;
	e.flags |= 0x80000000;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), -EINVAL);
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	e.smi.smm = 1;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), -EINVAL);
	/* #UD has no error code, whatever is claimed */
	e.smi.smm = 0;
	KUNIT_EXPECT_EQ(test, te_vcpu_events_set(vcpu, &e), 0);
	vcpu->ev.nmi_masked = true;
	KUNIT_EXPECT_EQ(test, t_enter(test), EXC(6));
}

static struct kunit_case event_cases[] = {
	KUNIT_CASE(merge),
	KUNIT_CASE(exceptions),
	KUNIT_CASE(debug_payload),
	KUNIT_CASE(double_and_triple),
	KUNIT_CASE(interrupts),
	KUNIT_CASE(nmis),
	KUNIT_CASE(order),
	KUNIT_CASE(exception_over_interrupt),
	KUNIT_CASE(soft_events),
	KUNIT_CASE(soft_of_user),
	KUNIT_CASE(cancel),
	KUNIT_CASE(need),
	KUNIT_CASE(halted),
	KUNIT_CASE(user_interrupt),
	KUNIT_CASE(get_and_set),
	{}
};

static struct kunit_suite event_suite = {
	.name = "lm_event",
	.init = t_init,
	.test_cases = event_cases,
};

kunit_test_suite(event_suite);
