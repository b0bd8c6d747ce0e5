// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 16550A on COM1: the guest's console.
 *
 * A byte that the guest sends goes to a buffer and not to a system call of its own. The console loop
 * empties the buffer a few milliseconds after the first byte; a vCPU does so itself only when it is full.
 *
 * Input waits until the guest listens: a driver that starts clears the receiver, and what was typed or
 * piped in before would be lost.
 */
#include <errno.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../machine.h"
#include "dev.h"

#define OUT_SIZE 4096
#define IN_SIZE 64
#define POLLS 16		/* so many looks at the line status, with nothing between, are listening */

struct serial {
	struct pio_device dev;
	struct machine *m;
	int out_fd;

	uint8_t ier, lcr, mcr, fcr, scratch;
	uint8_t divisor[2];
	bool thr_pending;	/* THR-empty interrupt not yet seen by the guest */
	bool overrun;
	bool line;		/* level of the interrupt line */

	bool hungry;		/* the console loop holds input for which there was no room */
	unsigned int polls;	/* looks at the line status since anything else was done */
	unsigned int in_head, in_count;
	uint8_t in[IN_SIZE];

	bool told;		/* the console loop knows that there is output */
	unsigned int out_len;
	uint8_t out[OUT_SIZE];
};

static bool listening(const struct serial *s)
{
	return (s->ier & UART_IER_RDI) || s->polls >= POLLS;
}

/* Have the console loop send the input that it holds. */
static void ask_for_input(struct serial *s)
{
	if (!s->hungry || s->in_count || !listening(s))
		return;
	s->hungry = false;
	machine_notify(s->m);
}

static unsigned int interrupt_id(const struct serial *s)
{
	if ((s->ier & UART_IER_RLSI) && s->overrun)
		return UART_IIR_RLSI;
	if ((s->ier & UART_IER_RDI) && s->in_count)
		return UART_IIR_RDI;
	if ((s->ier & UART_IER_THRI) && s->thr_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_line(struct serial *s)
{
	bool level = interrupt_id(s) != UART_IIR_NO_INT;

	if (level == s->line)
		return;
	s->line = level;
	machine_irq(s->m, IRQ_COM1, level);
}

/* Write what the other side takes now; keep the rest. */
static void write_out(struct serial *s)
{
	unsigned int done = 0;

	while (done < s->out_len) {
		ssize_t put = write(s->out_fd, s->out + done, s->out_len - done);

		if (put < 0 && errno == EINTR && !machine_stopping(s->m))
			continue;
		if (put < 0 && errno == EAGAIN)
			break;
		if (put < 0)
			done = s->out_len;	/* nobody reads any more */
		else
			done += (unsigned int)put;
	}
	s->out_len -= done;
	memmove(s->out, s->out + done, s->out_len);
}

static bool wait_writable(struct serial *s, int ms)
{
	struct pollfd poll_fd = { .fd = s->out_fd, .events = POLLOUT };

	return poll(&poll_fd, 1, ms) > 0;
}

/* A terminal that takes no more slows the guest down; others may use the device meanwhile. */
static void push_out(struct serial *s, uint8_t byte)
{
	while (s->out_len == OUT_SIZE) {
		write_out(s);
		if (s->out_len < OUT_SIZE)
			break;
		pthread_mutex_unlock(&s->dev.lock);
		wait_writable(s, 100);
		pthread_mutex_lock(&s->dev.lock);
		if (machine_stopping(s->m))
			return;
	}
	s->out[s->out_len++] = byte;
	if (!s->told) {
		s->told = true;
		machine_notify(s->m);
	}
}

static void push_in(struct serial *s, uint8_t byte)
{
	if (s->in_count == IN_SIZE) {
		s->overrun = true;
		return;
	}
	s->in[(s->in_head + s->in_count++) % IN_SIZE] = byte;
}

static uint8_t pop_in(struct serial *s)
{
	uint8_t byte;

	if (!s->in_count)
		return 0;
	byte = s->in[s->in_head];
	s->in_head = (s->in_head + 1) % IN_SIZE;
	s->in_count--;
	return byte;
}

static uint8_t line_status(struct serial *s)
{
	uint8_t value = UART_LSR_THRE | UART_LSR_TEMT;

	if (s->in_count)
		value |= UART_LSR_DR;
	if (s->overrun)
		value |= UART_LSR_OE;
	s->overrun = false;
	return value;
}

/* In loopback the modem's outputs are its inputs: a driver's probe looks for that. */
static uint8_t modem_status(const struct serial *s)
{
	uint8_t value = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (s->mcr & UART_MCR_DTR)
		value |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_RTS)
		value |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_OUT1)
		value |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		value |= UART_MSR_DCD;
	return value;
}

static uint32_t serial_in(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	struct serial *s = (struct serial *)dev;
	uint8_t value = 0;

	(void)size;
	if (offset != UART_LSR)
		s->polls = 0;
	else if (s->polls < POLLS)
		s->polls++;
	switch (offset) {
	case UART_RX:
		value = s->lcr & UART_LCR_DLAB ? s->divisor[0] : pop_in(s);
		break;
	case UART_IER:
		value = s->lcr & UART_LCR_DLAB ? s->divisor[1] : s->ier;
		break;
	case UART_IIR:
		value = (uint8_t)interrupt_id(s);
		if (value == UART_IIR_THRI)
			s->thr_pending = false;
		if (s->fcr & UART_FCR_ENABLE_FIFO)
			value |= 0xc0;
		break;
	case UART_LCR:
		value = s->lcr;
		break;
	case UART_MCR:
		value = s->mcr;
		break;
	case UART_LSR:
		value = line_status(s);
		break;
	case UART_MSR:
		value = modem_status(s);
		break;
	case UART_SCR:
		value = s->scratch;
		break;
	}
	update_line(s);
	ask_for_input(s);
	return value;
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->mcr & UART_MCR_LOOP)
		push_in(s, byte);
	else
		push_out(s, byte);
	/* Sent at once, so THR is empty again: a new event, hence a new edge on the line. */
	if (s->ier & UART_IER_THRI) {
		s->thr_pending = false;
		update_line(s);
	}
	s->thr_pending = true;
}

static void serial_out(struct pio_device *dev, unsigned int offset, unsigned int size,
		       uint32_t value)
{
	struct serial *s = (struct serial *)dev;
	uint8_t byte = (uint8_t)value;

	(void)size;
	s->polls = 0;
	switch (offset) {
	case UART_TX:
		if (s->lcr & UART_LCR_DLAB)
			s->divisor[0] = byte;
		else
			transmit(s, byte);
		break;
	case UART_IER:
		if (s->lcr & UART_LCR_DLAB) {
			s->divisor[1] = byte;
			break;
		}
		/* Enabling the interrupt while THR is empty raises it: drivers test for that. */
		if ((byte & UART_IER_THRI) && !(s->ier & UART_IER_THRI))
			s->thr_pending = true;
		s->ier = byte & 0x0f;
		break;
	case UART_FCR:
		if (byte & UART_FCR_CLEAR_RCVR)
			s->in_count = 0;
		s->fcr = byte & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
		break;
	case UART_LCR:
		s->lcr = byte;
		break;
	case UART_MCR:
		s->mcr = byte & 0x1f;
		break;
	case UART_SCR:
		s->scratch = byte;
		break;
	}
	update_line(s);
	ask_for_input(s);
}

/**
 * serial_new() - put COM1 into a machine
 * @m: the machine
 * @out_fd: where its output goes
 *
 * Return: the device, or NULL without memory.
 */
struct serial *serial_new(struct machine *m, int out_fd)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->m = m;
	s->out_fd = out_fd;
	s->divisor[0] = 1;	/* 115200 baud */
	s->lcr = UART_LCR_WLEN8;
	s->mcr = UART_MCR_OUT2;
	s->dev.base = PORT_COM1;
	s->dev.count = 8;
	s->dev.bytes = true;
	s->dev.in = serial_in;
	s->dev.out = serial_out;
	pio_add(machine_ports(m), &s->dev);
	return s;
}

/** serial_free() - write out what is left, unless nobody takes it for a second, and free the device */
void serial_free(struct serial *s)
{
	if (!s)
		return;
	while (serial_flush(s) && wait_writable(s, 1000))
		;
	free(s);
}

/**
 * serial_receive() - hand typed bytes to the guest
 * @s: the device
 * @data: the bytes
 * @len: how many
 *
 * Return: how many it took; machine_notify() tells when it may take more.
 */
unsigned int serial_receive(struct serial *s, const uint8_t *data, unsigned int len)
{
	unsigned int took = 0;

	pthread_mutex_lock(&s->dev.lock);
	if (listening(s)) {
		while (took < len && s->in_count < IN_SIZE)
			push_in(s, data[took++]);
		update_line(s);
	}
	s->hungry = took < len;
	pthread_mutex_unlock(&s->dev.lock);
	return took;
}

/**
 * serial_flush() - write out what the guest sent
 * @s: the device
 *
 * Return: whether there was something.
 */
bool serial_flush(struct serial *s)
{
	bool some;

	pthread_mutex_lock(&s->dev.lock);
	some = s->out_len;
	if (some)
		write_out(s);
	else
		s->told = false;
	pthread_mutex_unlock(&s->dev.lock);
	return some;
}
