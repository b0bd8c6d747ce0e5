// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MC146818 clock and its CMOS memory: the host's time in UTC, the guest's own setting of it as an
 * offset, and the alarm and update interrupts. The periodic interrupt is not there.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../machine.h"
#include "dev.h"

/* Registers, as in the MC146818's data sheet; the century's place is the one that the FADT names. */
enum {
	RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS, RTC_HOURS_ALARM,
	RTC_DAY_OF_WEEK, RTC_DAY_OF_MONTH, RTC_MONTH, RTC_YEAR,
	TIME_REGS,
	REG_A = TIME_REGS, REG_B, REG_C, REG_D,
	CENTURY = 0x32,
};

#define A_UIP 0x80		/* update in progress */
#define A_DEFAULT 0x26		/* 32 kHz crystal, 1,024 Hz rate */
#define B_SET 0x80
#define B_AIE 0x20
#define B_UIE 0x10
#define B_BINARY 0x04
#define B_24H 0x02
#define C_IRQF 0x80
#define C_AF 0x20
#define C_UF 0x10
#define D_VALID 0x80

struct rtc {
	struct pio_device dev;
	struct machine *m;
	uint8_t index;
	uint8_t reg[128];
	time_t offset;		/* guest's time minus host's */
	time_t ticked;		/* the last second that rtc_tick() saw */
	bool line;
};

static uint8_t encode(const struct rtc *r, int value)
{
	if (r->reg[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *r, uint8_t value)
{
	if (r->reg[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0x0f);
}

static void time_to_regs(struct rtc *r, time_t now)
{
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return;
	r->reg[RTC_SECONDS] = encode(r, tm.tm_sec);
	r->reg[RTC_MINUTES] = encode(r, tm.tm_min);
	r->reg[RTC_HOURS] = encode(r, tm.tm_hour);
	r->reg[RTC_DAY_OF_WEEK] = encode(r, tm.tm_wday + 1);
	r->reg[RTC_DAY_OF_MONTH] = encode(r, tm.tm_mday);
	r->reg[RTC_MONTH] = encode(r, tm.tm_mon + 1);
	r->reg[RTC_YEAR] = encode(r, tm.tm_year % 100);
	r->reg[CENTURY] = encode(r, tm.tm_year / 100 + 19);
}

static time_t regs_to_time(const struct rtc *r)
{
	struct tm tm = {
		.tm_sec = decode(r, r->reg[RTC_SECONDS]),
		.tm_min = decode(r, r->reg[RTC_MINUTES]),
		.tm_hour = decode(r, r->reg[RTC_HOURS]),
		.tm_mday = decode(r, r->reg[RTC_DAY_OF_MONTH]),
		.tm_mon = decode(r, r->reg[RTC_MONTH]) - 1,
		.tm_year = decode(r, r->reg[RTC_YEAR]) +
			   decode(r, r->reg[CENTURY]) * 100 - 1900,
	};

	return timegm(&tm);
}

static time_t guest_time(const struct rtc *r)
{
	return time(NULL) + r->offset;
}

static void raise_flags(struct rtc *r, uint8_t flags)
{
	bool level;

	r->reg[REG_C] |= flags;
	level = r->reg[REG_C] & r->reg[REG_B] & (B_AIE | B_UIE);
	if (level)
		r->reg[REG_C] |= C_IRQF;
	if (level == r->line)
		return;
	r->line = level;
	machine_irq(r->m, IRQ_RTC, level);
}

static bool is_time(uint8_t index)
{
	return index == CENTURY ||
	       (index < TIME_REGS && index != RTC_SECONDS_ALARM &&
		index != RTC_MINUTES_ALARM && index != RTC_HOURS_ALARM);
}

static uint32_t rtc_in(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	struct rtc *r = (struct rtc *)dev;
	uint8_t value;

	(void)size;
	if (offset == 0)
		return 0xff;	/* the index is write-only */
	if (is_time(r->index) && !(r->reg[REG_B] & B_SET))
		time_to_regs(r, guest_time(r));
	value = r->reg[r->index];
	if (r->index == REG_C) {
		r->reg[REG_C] = 0;
		raise_flags(r, 0);
	}
	return value;
}

static void rtc_out(struct pio_device *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	struct rtc *r = (struct rtc *)dev;
	uint8_t byte = (uint8_t)value;
	bool was_set = r->reg[REG_B] & B_SET;

	(void)size;
	if (offset == 0) {
		r->index = byte & 0x7f;	/* bit 7 masks NMIs on a PC */
		return;
	}
	switch (r->index) {
	case REG_C:
	case REG_D:
		return;
	case REG_A:
		r->reg[REG_A] = byte & (uint8_t)~A_UIP;
		return;
	case REG_B:
		if (!was_set)
			time_to_regs(r, guest_time(r));
		r->reg[REG_B] = byte | B_24H;
		if (was_set && !(byte & B_SET))
			r->offset = regs_to_time(r) - time(NULL);
		r->ticked = guest_time(r);
		raise_flags(r, 0);
		machine_notify(r->m);
		return;
	}
	if (is_time(r->index) && !was_set)
		time_to_regs(r, guest_time(r));
	r->reg[r->index] = byte;
	if (is_time(r->index) && !was_set)
		r->offset = regs_to_time(r) - time(NULL);
}

static bool alarm_matches(const struct rtc *r, int reg, int alarm)
{
	/* An alarm byte with both top bits set matches anything. */
	return (r->reg[alarm] & 0xc0) == 0xc0 || r->reg[alarm] == r->reg[reg];
}

/**
 * rtc_tick() - raise the interrupts of a second that has begun
 * @r: the clock
 *
 * Return: milliseconds until it wants to be called again, or -1 for not at all.
 */
int rtc_tick(struct rtc *r)
{
	struct timespec now;
	uint8_t flags = C_UF;
	int wait = -1;

	pthread_mutex_lock(&r->dev.lock);
	if ((r->reg[REG_B] & (B_AIE | B_UIE)) && !(r->reg[REG_B] & B_SET)) {
		if (guest_time(r) != r->ticked) {
			r->ticked = guest_time(r);
			time_to_regs(r, r->ticked);
			if (alarm_matches(r, RTC_SECONDS, RTC_SECONDS_ALARM) &&
			    alarm_matches(r, RTC_MINUTES, RTC_MINUTES_ALARM) &&
			    alarm_matches(r, RTC_HOURS, RTC_HOURS_ALARM))
				flags |= C_AF;
			raise_flags(r, flags);
		}
		clock_gettime(CLOCK_REALTIME, &now);
		wait = 1000 - (int)(now.tv_nsec / 1000000);
	}
	pthread_mutex_unlock(&r->dev.lock);
	return wait;
}

/**
 * rtc_new() - put the clock into a machine
 * @m: the machine
 *
 * Return: the device, or NULL without memory.
 */
struct rtc *rtc_new(struct machine *m)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->m = m;
	r->reg[REG_A] = A_DEFAULT;
	r->reg[REG_B] = B_24H;
	r->reg[REG_D] = D_VALID;
	r->dev.base = PORT_RTC;
	r->dev.count = 2;
	r->dev.bytes = true;
	r->dev.in = rtc_in;
	r->dev.out = rtc_out;
	pio_add(machine_ports(m), &r->dev);
	return r;
}

/** rtc_free() - free the clock */
void rtc_free(struct rtc *r)
{
	free(r);
}
