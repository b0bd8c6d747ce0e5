// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family "lamina": the list of VMs with their counters, and
 * events as they happen.  <linux/lamina.h> documents the attributes.
 */
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "../lamina.h"

static struct genl_family lm_family;

/* Counters that are summed over the vCPUs. */
static const struct {
	u16 attr;
	u16 offset;		/* in struct lm_vcpu_stat */
} lm_counters[] = {
	{ LAMINA_A_USER_EXITS, offsetof(struct lm_vcpu_stat, user_exits) },
	{ LAMINA_A_HALTS, offsetof(struct lm_vcpu_stat, halts) },
	{ LAMINA_A_IRQS, offsetof(struct lm_vcpu_stat, irq_injected) },
	{ LAMINA_A_NMIS, offsetof(struct lm_vcpu_stat, nmi_injected) },
	{ LAMINA_A_FAULTS, offsetof(struct lm_vcpu_stat, need_faults) },
	{ LAMINA_A_FLUSHES, offsetof(struct lm_vcpu_stat, flushes) },
};

static int lm_put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, LAMINA_A_PAD);
}

static u64 lm_sum(struct lm_vm *vm, u16 offset)
{
	struct lm_vcpu *vcpu;
	u64 sum = 0;
	int i;

	lm_for_each_vcpu(i, vcpu, vm)
		sum += READ_ONCE(*(u64 *)((void *)&vcpu->stat + offset));
	return sum;
}

static u64 lm_uptime_ms(const struct lm_vm *vm)
{
	if (!vm->life.started)
		return 0;
	return div_u64(ktime_get_boottime_ns() - vm->life.started, NSEC_PER_MSEC);
}

/* What an event says, too.  lm_vms_lock held. */
static int lm_put_vm(struct sk_buff *skb, struct lm_vm *vm, u32 pid, u32 uid)
{
	if (lm_put_u64(skb, LAMINA_A_ID, vm->id) ||
	    nla_put_u32(skb, LAMINA_A_PID, pid) ||
	    nla_put_u32(skb, LAMINA_A_UID, uid) ||
	    nla_put_u32(skb, LAMINA_A_STATE, vm->life.state))
		return -EMSGSIZE;
	if (vm->ident->name[0] && nla_put_string(skb, LAMINA_A_NAME, vm->ident->name))
		return -EMSGSIZE;
	if (vm->life.reason[0] && nla_put_string(skb, LAMINA_A_REASON, vm->life.reason))
		return -EMSGSIZE;
	return 0;
}

static int lm_put_figures(struct sk_buff *skb, struct lm_vm *vm)
{
	u64 exits = 0;
	unsigned int i;

	for (i = 0; i < LM_EXIT_KINDS; i++)
		exits += lm_sum(vm, offsetof(struct lm_vcpu_stat, by_kind[i]));
	if (nla_put_u32(skb, LAMINA_A_VCPUS, lm_vcpu_count(vm)) ||
	    lm_put_u64(skb, LAMINA_A_MEMORY, lm_mem_size(vm)) ||
	    lm_put_u64(skb, LAMINA_A_UPTIME, lm_uptime_ms(vm)) ||
	    lm_put_u64(skb, LAMINA_A_EXITS, exits) ||
	    lm_put_u64(skb, LAMINA_A_TABLE_PAGES, atomic_long_read(&vm->mem.table_pages)))
		return -EMSGSIZE;
	for (i = 0; i < ARRAY_SIZE(lm_counters); i++)
		if (lm_put_u64(skb, lm_counters[i].attr, lm_sum(vm, lm_counters[i].offset)))
			return -EMSGSIZE;
	return 0;
}

/* ---- the list ---- */

/* 0 once the process is gone: its number may be another's by now. */
static u32 lm_owner_pid(const struct lm_vm *vm)
{
	u32 nr = 0;

	rcu_read_lock();
	if (pid_task(vm->life.pid, PIDTYPE_TGID))
		nr = pid_nr_ns(vm->life.pid, task_active_pid_ns(current));
	rcu_read_unlock();
	return nr;
}

static int lm_dump_vm(struct sk_buff *skb, struct netlink_callback *cb, struct lm_vm *vm,
		      const struct file *opener)
{
	u32 pid = lm_owner_pid(vm);
	u32 uid = from_kuid_munged(opener->f_cred->user_ns, vm->ident->uid);
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &lm_family, NLM_F_MULTI, LAMINA_CMD_GET);

	if (!header)
		return -EMSGSIZE;
	if (lm_put_vm(skb, vm, pid, uid) || lm_put_figures(skb, vm)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* args[0] is the id of the last VM in what was sent: the list is in their order. */
static int lm_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct socket *sock = NETLINK_CB(cb->skb).sk->sk_socket;
	struct lm_vm *vm;

	if (!sock || !sock->file)
		return -EPERM;
	mutex_lock(&lm_vms_lock);
	list_for_each_entry(vm, &lm_vms, node) {
		if (vm->id <= (u64)cb->args[0] || !lm_vm_alive(vm) ||
		    !lm_ident_readable(vm->ident, sock->file))
			continue;
		if (lm_dump_vm(skb, cb, vm, sock->file))
			break;
		cb->args[0] = vm->id;
	}
	mutex_unlock(&lm_vms_lock);
	return skb->len;
}

/* ---- events ---- */

static struct sk_buff *lm_event_new(struct lm_vm *vm, u32 event, u32 pid, u32 uid)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *header;

	if (!skb)
		return NULL;
	header = genlmsg_put(skb, 0, 0, &lm_family, 0, LAMINA_CMD_EVENT);
	if (!header || nla_put_u32(skb, LAMINA_A_EVENT, event) || lm_put_vm(skb, vm, pid, uid)) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}

static void lm_event_to(struct net *net, struct lm_vm *vm, u32 event, u32 pid)
{
	struct sk_buff *skb;

	if (!genl_has_listeners(&lm_family, net, 0))
		return;
	skb = lm_event_new(vm, event, pid, from_kuid_munged(net->user_ns, vm->ident->uid));
	/* Who reads too slowly is told so by ENOBUFS. */
	if (skb)
		genlmsg_multicast_netns(&lm_family, net, skb, 0, 0, GFP_KERNEL);
}

/**
 * lm_netlink_event - tell who listens
 * @vm: the VM
 * @event: LAMINA_EVENT_*
 *
 * Context: lm_vms_lock held, so that events come in the order of what happened.
 */
void lm_netlink_event(struct lm_vm *vm, u32 event)
{
	struct pid_namespace *ns = ns_of_pid(vm->life.pid);

	lm_event_to(&init_net, vm, event, pid_nr(vm->life.pid));
	if (!net_eq(vm->life.net, &init_net))
		lm_event_to(vm->life.net, vm, event, pid_nr_ns(vm->life.pid, ns));
}

/* ---- the family ---- */

static const struct genl_ops lm_ops[] = {
	{
		.cmd = LAMINA_CMD_GET,
		.dumpit = lm_dump,
	},
};

static const struct genl_multicast_group lm_groups[] = {
	{ .name = LAMINA_GENL_EVENTS },
};

static struct genl_family lm_family = {
	.name = LAMINA_GENL_NAME,
	.version = LAMINA_GENL_VERSION,
	.maxattr = LAMINA_A_MAX,
	.netnsok = true,
	.module = THIS_MODULE,
	.ops = lm_ops,
	.n_ops = ARRAY_SIZE(lm_ops),
	.resv_start_op = LAMINA_CMD_GET,
	.mcgrps = lm_groups,
	.n_mcgrps = ARRAY_SIZE(lm_groups),
};

/**
 * lm_netlink_init - register the family
 *
 * Return: 0 or an errno
 */
int lm_netlink_init(void)
{
	return genl_register_family(&lm_family);
}

/**
 * lm_netlink_exit - unregister the family
 */
void lm_netlink_exit(void)
{
	genl_unregister_family(&lm_family);
}
