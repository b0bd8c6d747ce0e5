/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: entry, exit, nested fault, injection, MSR access, flush, disk requests.
 * Without a reader each is a patched-out jump.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM lamina

#if !defined(LM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define LM_TRACE_H

#include <linux/tracepoint.h>

#include "../lamina.h"

#ifndef LM_EXIT_NAMES
#define LM_EXIT_NAMES						\
	{ LM_EXIT_INTR, "intr" }, { LM_EXIT_NPF, "npf" },	\
	{ LM_EXIT_IO, "io" }, { LM_EXIT_MSR, "msr" },		\
	{ LM_EXIT_CPUID, "cpuid" }, { LM_EXIT_HLT, "hlt" },	\
	{ LM_EXIT_HYPERCALL, "hypercall" },			\
	{ LM_EXIT_IRQ_WINDOW, "irq_window" },			\
	{ LM_EXIT_NMI_WINDOW, "nmi_window" },			\
	{ LM_EXIT_CR, "cr" }, { LM_EXIT_DR, "dr" },		\
	{ LM_EXIT_EXCEPTION, "exception" },			\
	{ LM_EXIT_XSETBV, "xsetbv" }, { LM_EXIT_INVD, "invd" },	\
	{ LM_EXIT_PAUSE, "pause" }, { LM_EXIT_MWAIT, "mwait" },	\
	{ LM_EXIT_RDPMC, "rdpmc" }, { LM_EXIT_UD, "ud" },	\
	{ LM_EXIT_EOI, "eoi" }, { LM_EXIT_APIC_WRITE, "apic_write" },	\
	{ LM_EXIT_TIMER, "timer" }, { LM_EXIT_DIRTY, "dirty" },	\
	{ LM_EXIT_TASK_SWITCH, "task_switch" },			\
	{ LM_EXIT_SHUTDOWN, "shutdown" },			\
	{ LM_EXIT_FAIL_ENTRY, "fail_entry" },			\
	{ LM_EXIT_UNKNOWN, "unknown" }
#endif

TRACE_EVENT(lm_entry,
	TP_PROTO(struct lm_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u64, rip)
		__field(u64, inject)
	),
	TP_fast_assign(
		__entry->id = vcpu->id;
		__entry->rip = lm_rip(vcpu);
		__entry->inject = vcpu->inject;
	),
	TP_printk("vcpu %d rip %llx inject %llx", __entry->id, __entry->rip, __entry->inject)
);

TRACE_EVENT(lm_exit,
	TP_PROTO(struct lm_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, kind)
		__field(u32, code)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->id = vcpu->id;
		__entry->kind = vcpu->exit.kind;
		__entry->code = vcpu->exit.code;
		__entry->rip = lm_rip(vcpu);
	),
	TP_printk("vcpu %d %s code %x rip %llx", __entry->id,
		  __print_symbolic(__entry->kind, LM_EXIT_NAMES), __entry->code, __entry->rip)
);

TRACE_EVENT(lm_npf,
	TP_PROTO(struct lm_vcpu *vcpu, int result),
	TP_ARGS(vcpu, result),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u64, gpa)
		__field(bool, write)
		__field(bool, exec)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->id = vcpu->id;
		__entry->gpa = vcpu->exit.npf.gpa;
		__entry->write = vcpu->exit.npf.write;
		__entry->exec = vcpu->exit.npf.exec;
		__entry->result = result;
	),
	TP_printk("vcpu %d gpa %llx%s%s result %d", __entry->id, __entry->gpa,
		  __entry->write ? " write" : "", __entry->exec ? " exec" : "",
		  __entry->result)
);

TRACE_EVENT(lm_msr,
	TP_PROTO(struct lm_vcpu *vcpu, u32 msr, u64 val, bool write, int result),
	TP_ARGS(vcpu, msr, val, write, result),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u32, msr)
		__field(u64, val)
		__field(bool, write)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->id = vcpu->id;
		__entry->msr = msr;
		__entry->val = val;
		__entry->write = write;
		__entry->result = result;
	),
	TP_printk("vcpu %d %s %x = %llx%s", __entry->id, __entry->write ? "write" : "read",
		  __entry->msr, __entry->val, __entry->result ? " failed" : "")
);

TRACE_EVENT(lm_inject,
	TP_PROTO(struct lm_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(int, id)
		__field(u64, event)
	),
	TP_fast_assign(
		__entry->id = vcpu->id;
		__entry->event = vcpu->inject;
	),
	TP_printk("vcpu %d vector %u type %u error %x", __entry->id,
		  (u8)__entry->event, (u32)(__entry->event >> 8) & 7, (u32)(__entry->event >> 32))
);

TRACE_EVENT(lm_flush_all,
	TP_PROTO(u64 gen, int vcpus),
	TP_ARGS(gen, vcpus),
	TP_STRUCT__entry(
		__field(u64, gen)
		__field(int, vcpus)
	),
	TP_fast_assign(
		__entry->gen = gen;
		__entry->vcpus = vcpus;
	),
	TP_printk("generation %llu, %d vCPUs", __entry->gen, __entry->vcpus)
);

#define LM_BLK_TYPES							\
	{ 0, "read" }, { 1, "write" }, { 4, "flush" }, { 8, "get_id" },	\
	{ 11, "discard" }, { 13, "write_zeroes" }

TRACE_EVENT(lm_blk_request,
	TP_PROTO(u32 disk, u32 queue, u16 id, u32 type, u64 sector, u64 bytes),
	TP_ARGS(disk, queue, id, type, sector, bytes),
	TP_STRUCT__entry(
		__field(u32, disk)
		__field(u32, queue)
		__field(u16, id)
		__field(u32, type)
		__field(u64, sector)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->disk = disk;
		__entry->queue = queue;
		__entry->id = id;
		__entry->type = type;
		__entry->sector = sector;
		__entry->bytes = bytes;
	),
	TP_printk("disk %u queue %u request %u %s sector %llu bytes %llu", __entry->disk,
		  __entry->queue, __entry->id, __print_symbolic(__entry->type, LM_BLK_TYPES),
		  __entry->sector, __entry->bytes)
);

TRACE_EVENT(lm_blk_done,
	TP_PROTO(u32 disk, u32 queue, u16 id, u8 status),
	TP_ARGS(disk, queue, id, status),
	TP_STRUCT__entry(
		__field(u32, disk)
		__field(u32, queue)
		__field(u16, id)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->disk = disk;
		__entry->queue = queue;
		__entry->id = id;
		__entry->status = status;
	),
	TP_printk("disk %u queue %u request %u status %u", __entry->disk, __entry->queue,
		  __entry->id, __entry->status)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
