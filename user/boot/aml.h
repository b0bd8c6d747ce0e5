/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes AML, the byte code of ACPI's tables (ACPI specification 6.4, chapter 20).
 */
#ifndef LAMINA_AML_H
#define LAMINA_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct aml - a buffer being written
 * @data: the bytes
 * @len: how many
 * @size: how many fit
 * @full: something did not fit
 */
struct aml {
	uint8_t *data;
	size_t len, size;
	bool full;
};

void aml_bytes(struct aml *a, const void *bytes, size_t len);
void aml_byte(struct aml *a, uint8_t byte);
void aml_name(struct aml *a, const char *name);
void aml_name_integer(struct aml *a, const char *name, uint32_t value);
void aml_name_eisa_id(struct aml *a, const char *name, const char *id);
void aml_name_string(struct aml *a, const char *name, const char *text);

/* Each begin returns a mark for its end. */
size_t aml_begin_scope(struct aml *a, const char *name);
size_t aml_begin_device(struct aml *a, const char *name);
size_t aml_begin_method(struct aml *a, const char *name, uint8_t args);
size_t aml_begin_name_package(struct aml *a, const char *name, uint8_t elements);
size_t aml_begin_package(struct aml *a, uint8_t elements);
void aml_end(struct aml *a, size_t mark);
void aml_integer(struct aml *a, uint32_t value);

/* Statements of methods, and what they work on. */
void aml_io_fields(struct aml *a, const char *name, uint16_t port, const char *const *fields,
		   unsigned int count);
void aml_store(struct aml *a, uint32_t value, const char *name);
void aml_load(struct aml *a, const char *name);
void aml_notify_if(struct aml *a, uint32_t mask, const char *name, uint8_t value);
void aml_path(struct aml *a, const char *const *parts, uint8_t count);

/* Resources stand between these two. */
size_t aml_begin_resources(struct aml *a);
void aml_end_resources(struct aml *a, size_t mark);
void aml_io(struct aml *a, uint16_t base, uint8_t count);
void aml_irq(struct aml *a, unsigned int irq);
void aml_bus_range(struct aml *a, uint16_t first, uint16_t last);
void aml_io_range(struct aml *a, uint16_t first, uint16_t last);
void aml_memory_range(struct aml *a, uint32_t first, uint32_t last);
void aml_memory(struct aml *a, uint32_t base, uint32_t length);

#endif
