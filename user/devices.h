/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices that the user asks for: at the start, and while the guest runs.
 */
#ifndef LAMINA_DEVICES_H
#define LAMINA_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device_kind;
struct machine;
struct machine_config;

const struct device_kind *device_kind(const char *option);
int device_open(const struct device_kind *kind, const void *config, int *fd);
int device_node(const struct device_kind *kind, const void *config);
int devices_prepare(struct machine_config *config, unsigned int *needs);
int device_ask_for(struct machine_config *config, const struct device_kind *kind, const char *text,
		   int fd);
int devices_create(struct machine *m);

/* What is asked over the control handle: NULL, or why not. */
const char *device_attach(struct machine *m, const char *what, const int *fds, unsigned int nr_fds,
			  bool started, char *text, size_t size);
const char *device_detach(struct machine *m, const char *name, uint64_t id, bool *later);
const char *device_remove(struct machine *m, const char *name, bool started);
const char *device_balloon(struct machine *m, const char *bytes);
const char *device_describe(struct machine *m, const char *number, char *text, size_t size);

#endif
