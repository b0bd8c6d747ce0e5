/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What load and check both ask the host.
 */
#ifndef LAMINA_HOST_H
#define LAMINA_HOST_H

#include <stdbool.h>
#include <stddef.h>

#define RULE_FILE "60-lamina.rules"

bool module_loaded(const char *name);
int module_users(const char *name);
bool guest_owners(const char *hypervisor, char *text, size_t size);
bool beside_executable(char *path, size_t size, const char *file);
bool rule_installed(void);
bool device_is_open_to_group(const char *path);
const char *rule_remedy(void);

#endif
