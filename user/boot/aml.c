// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes AML (ACPI specification 6.4: byte code in chapter 20, resource descriptors in 6.4).
 */
#include <string.h>

#include "aml.h"

enum {
	NAME_OP = 0x08,
	BYTE_PREFIX = 0x0a,
	WORD_PREFIX = 0x0b,
	DWORD_PREFIX = 0x0c,
	STRING_PREFIX = 0x0d,
	SCOPE_OP = 0x10,
	BUFFER_OP = 0x11,
	PACKAGE_OP = 0x12,
	METHOD_OP = 0x14,
	MULTI_NAME_PREFIX = 0x2f,
	EXT_OP_PREFIX = 0x5b,
	LOCAL0_OP = 0x60,
	STORE_OP = 0x70,
	AND_OP = 0x7b,
	REGION_OP = 0x80,
	FIELD_OP = 0x81,
	DEVICE_OP = 0x82,
	NOTIFY_OP = 0x86,
	IF_OP = 0xa0,
};

/** aml_bytes() - append bytes as they are */
void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
	if (a->full || len > a->size - a->len) {
		a->full = true;
		return;
	}
	memcpy(a->data + a->len, bytes, len);
	a->len += len;
}

/** aml_byte() - append one byte */
void aml_byte(struct aml *a, uint8_t byte)
{
	aml_bytes(a, &byte, 1);
}

static void little_endian(struct aml *a, uint64_t value, unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		aml_byte(a, (uint8_t)value);
}

/** aml_name() - append a name of four characters, with a leading backslash where it has one */
void aml_name(struct aml *a, const char *name)
{
	if (*name == '\\')
		aml_byte(a, (uint8_t)*name++);
	aml_bytes(a, name, 4);
}

/** aml_integer() - append a constant, as short as it can be */
void aml_integer(struct aml *a, uint32_t value)
{
	if (value <= 1) {
		aml_byte(a, (uint8_t)value);	/* ZeroOp, OneOp */
	} else if (value <= 0xff) {
		aml_byte(a, BYTE_PREFIX);
		little_endian(a, value, 1);
	} else if (value <= 0xffff) {
		aml_byte(a, WORD_PREFIX);
		little_endian(a, value, 2);
	} else {
		aml_byte(a, DWORD_PREFIX);
		little_endian(a, value, 4);
	}
}

/** aml_name_integer() - Name(name, value) */
void aml_name_integer(struct aml *a, const char *name, uint32_t value)
{
	aml_byte(a, NAME_OP);
	aml_name(a, name);
	aml_integer(a, value);
}

static unsigned int hex(char c)
{
	return (unsigned int)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/**
 * aml_name_eisa_id() - Name(name, EisaId(id))
 * @a: the buffer
 * @name: for example _HID
 * @id: three capitals and four hexadecimal digits
 */
void aml_name_eisa_id(struct aml *a, const char *name, const char *id)
{
	unsigned int letters = (unsigned int)(id[0] - '@') << 10 | (unsigned int)(id[1] - '@') << 5 |
			       (unsigned int)(id[2] - '@');

	aml_byte(a, NAME_OP);
	aml_name(a, name);
	aml_byte(a, DWORD_PREFIX);
	/* The packed form is big-endian. */
	aml_byte(a, (uint8_t)(letters >> 8));
	aml_byte(a, (uint8_t)letters);
	aml_byte(a, (uint8_t)(hex(id[3]) << 4 | hex(id[4])));
	aml_byte(a, (uint8_t)(hex(id[5]) << 4 | hex(id[6])));
}

/** aml_name_string() - Name(name, "text") */
void aml_name_string(struct aml *a, const char *name, const char *text)
{
	aml_byte(a, NAME_OP);
	aml_name(a, name);
	aml_byte(a, STRING_PREFIX);
	aml_bytes(a, text, strlen(text) + 1);
}

/** aml_begin_scope() - Scope(name) { */
size_t aml_begin_scope(struct aml *a, const char *name)
{
	size_t mark;

	aml_byte(a, SCOPE_OP);
	mark = a->len;
	aml_name(a, name);
	return mark;
}

/** aml_begin_device() - Device(name) { */
size_t aml_begin_device(struct aml *a, const char *name)
{
	size_t mark;

	aml_byte(a, EXT_OP_PREFIX);
	aml_byte(a, DEVICE_OP);
	mark = a->len;
	aml_name(a, name);
	return mark;
}

/** aml_begin_method() - Method(name, args) { */
size_t aml_begin_method(struct aml *a, const char *name, uint8_t args)
{
	size_t mark;

	aml_byte(a, METHOD_OP);
	mark = a->len;
	aml_name(a, name);
	aml_byte(a, args);
	return mark;
}

/**
 * aml_io_fields() - OperationRegion(name, SystemIO, port, ...) and Field() of 32 bits each in it
 * @a: the buffer
 * @name: the region's
 * @port: where it begins
 * @fields: the fields' names
 * @count: how many
 */
void aml_io_fields(struct aml *a, const char *name, uint16_t port, const char *const *fields,
		   unsigned int count)
{
	size_t mark;

	aml_byte(a, EXT_OP_PREFIX);
	aml_byte(a, REGION_OP);
	aml_name(a, name);
	aml_byte(a, 1);		/* system I/O */
	aml_integer(a, port);
	aml_integer(a, 4 * count);
	aml_byte(a, EXT_OP_PREFIX);
	aml_byte(a, FIELD_OP);
	mark = a->len;
	aml_name(a, name);
	aml_byte(a, 3);		/* accessed as 32 bits */
	for (; count; count--) {
		aml_name(a, *fields++);
		aml_byte(a, 32);
	}
	aml_end(a, mark);
}

/** aml_store() - Store(value, name) */
void aml_store(struct aml *a, uint32_t value, const char *name)
{
	aml_byte(a, STORE_OP);
	aml_integer(a, value);
	aml_name(a, name);
}

/** aml_load() - Store(name, Local0) */
void aml_load(struct aml *a, const char *name)
{
	aml_byte(a, STORE_OP);
	aml_name(a, name);
	aml_byte(a, LOCAL0_OP);
}

/** aml_notify_if() - If (And(Local0, mask)) { Notify(name, value) } */
void aml_notify_if(struct aml *a, uint32_t mask, const char *name, uint8_t value)
{
	size_t mark;

	aml_byte(a, IF_OP);
	mark = a->len;
	aml_byte(a, AND_OP);
	aml_byte(a, LOCAL0_OP);
	aml_integer(a, mask);
	aml_byte(a, 0);		/* the result goes nowhere else */
	aml_byte(a, NOTIFY_OP);
	aml_name(a, name);
	aml_integer(a, value);
	aml_end(a, mark);
}

/** aml_path() - a name of several parts from the root, which as a statement calls the method */
void aml_path(struct aml *a, const char *const *parts, uint8_t count)
{
	aml_byte(a, '\\');
	aml_byte(a, MULTI_NAME_PREFIX);
	aml_byte(a, count);
	for (; count; count--)
		aml_name(a, *parts++);
}

/** aml_begin_package() - Package(elements) { */
size_t aml_begin_package(struct aml *a, uint8_t elements)
{
	size_t mark;

	aml_byte(a, PACKAGE_OP);
	mark = a->len;
	aml_byte(a, elements);
	return mark;
}

/** aml_begin_name_package() - Name(name, Package(elements) { */
size_t aml_begin_name_package(struct aml *a, const char *name, uint8_t elements)
{
	aml_byte(a, NAME_OP);
	aml_name(a, name);
	return aml_begin_package(a, elements);
}

/**
 * aml_end() - } : put the package's length where it began
 * @a: the buffer
 * @mark: what the begin returned
 *
 * The length counts its own bytes, so it is found by trying one more each time (20.2.4).
 */
void aml_end(struct aml *a, size_t mark)
{
	size_t body, total;
	uint8_t length[4];
	unsigned int i, bytes = 1;

	if (a->full)
		return;
	body = a->len - mark;
	if (body + 1 > 0x3f) {
		for (bytes = 2; body + bytes >= (size_t)1 << (4 + 8 * (bytes - 1)); bytes++)
			;
	}
	total = body + bytes;
	if (bytes > 4 || bytes > a->size - a->len) {
		a->full = true;
		return;
	}
	if (bytes == 1) {
		length[0] = (uint8_t)total;
	} else {
		length[0] = (uint8_t)((bytes - 1) << 6 | (total & 0x0f));
		for (i = 1; i < bytes; i++)
			length[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
	}
	memmove(a->data + mark + bytes, a->data + mark, body);
	memcpy(a->data + mark, length, bytes);
	a->len += bytes;
}

/** aml_begin_resources() - Name(_CRS, ResourceTemplate() { */
size_t aml_begin_resources(struct aml *a)
{
	size_t mark;

	aml_byte(a, NAME_OP);
	aml_name(a, "_CRS");
	aml_byte(a, BUFFER_OP);
	mark = a->len;
	/* The buffer's size, known at the end. */
	aml_byte(a, WORD_PREFIX);
	little_endian(a, 0, 2);
	return mark;
}

/** aml_end_resources() - }) */
void aml_end_resources(struct aml *a, size_t mark)
{
	size_t size;

	aml_byte(a, 0x79);	/* end tag */
	aml_byte(a, 0);		/* checksum not used */
	if (a->full)
		return;
	size = a->len - mark - 3;
	a->data[mark + 1] = (uint8_t)size;
	a->data[mark + 2] = (uint8_t)(size >> 8);
	aml_end(a, mark);
}

/** aml_io() - IO(Decode16, base, base, 1, count) */
void aml_io(struct aml *a, uint16_t base, uint8_t count)
{
	aml_byte(a, 0x47);
	aml_byte(a, 1);
	little_endian(a, base, 2);
	little_endian(a, base, 2);
	aml_byte(a, 1);
	aml_byte(a, count);
}

/** aml_irq() - IRQNoFlags() {irq}: edge, active high */
void aml_irq(struct aml *a, unsigned int irq)
{
	aml_byte(a, 0x22);
	little_endian(a, 1u << irq, 2);
}

/*
 * An address space descriptor: type 0 memory, 1 I/O, 2 bus numbers; fixed at both ends, positively
 * decoded, produced for the devices behind the bridge.
 */
static void address_space(struct aml *a, uint8_t tag, unsigned int width, uint8_t type,
			  uint8_t type_flags, uint32_t first, uint32_t last)
{
	aml_byte(a, tag);
	little_endian(a, 3 + 5 * width, 2);
	aml_byte(a, type);
	aml_byte(a, 0x0c);
	aml_byte(a, type_flags);
	little_endian(a, 0, width);	/* granularity */
	little_endian(a, first, width);
	little_endian(a, last, width);
	little_endian(a, 0, width);	/* translation */
	little_endian(a, last - first + 1, width);
}

/** aml_bus_range() - WordBusNumber() */
void aml_bus_range(struct aml *a, uint16_t first, uint16_t last)
{
	address_space(a, 0x88, 2, 2, 0, first, last);
}

/** aml_io_range() - WordIO(), both ISA and other ports */
void aml_io_range(struct aml *a, uint16_t first, uint16_t last)
{
	address_space(a, 0x88, 2, 1, 3, first, last);
}

/** aml_memory_range() - DWordMemory(), read and write, not cached */
void aml_memory_range(struct aml *a, uint32_t first, uint32_t last)
{
	address_space(a, 0x87, 4, 0, 1, first, last);
}

/** aml_memory() - Memory32Fixed(ReadWrite, base, length) */
void aml_memory(struct aml *a, uint32_t base, uint32_t length)
{
	aml_byte(a, 0x86);
	little_endian(a, 9, 2);
	aml_byte(a, 1);
	little_endian(a, base, 4);
	little_endian(a, length, 4);
}
