// SPDX-License-Identifier: GPL-2.0-only
/*
 * What load and check both ask the host: modules, who uses KVM, the device node's permission.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "tool.h"

#define DEVICE_GROUP "kvm"

/** module_loaded() - whether a module is in the kernel and takes part in life (refcnt is there) */
bool module_loaded(const char *name)
{
	char path[256];

	/* What is built in has a directory too, but neither state nor count. */
	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	return !access(path, F_OK);
}

/**
 * module_users() - how many use a module
 * @name: the module
 *
 * Return: its reference count, -1 if it is not loaded.
 */
int module_users(const char *name)
{
	char line[32];

	if (read_line(line, sizeof(line), "/sys/module/%s/refcnt", name))
		return -1;
	return atoi(line);
}

/* Whether a process has the hypervisor's device or a guest of its open. */
static bool has_guest(int proc, const char *pid, const char *hypervisor)
{
	char path[300], target[64], device[32], vm[32];
	bool found = false;
	struct dirent *entry;
	int fd;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	snprintf(device, sizeof(device), "/dev/%s", hypervisor);
	snprintf(vm, sizeof(vm), "anon_inode:%s-vm", hypervisor);
	while (!found && (entry = readdir(dir))) {
		ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		found = !strcmp(target, device) || !strcmp(target, vm);
	}
	closedir(dir);
	return found;
}

/**
 * guest_owners() - name the processes that use a hypervisor
 * @hypervisor: "kvm" or "lamina"
 * @text: the list, ready for a message
 * @size: its size
 *
 * Return: whether there are any that we may see.
 */
bool guest_owners(const char *hypervisor, char *text, size_t size)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t used = 0;
	char name[64];

	*text = '\0';
	if (!proc)
		return false;
	while ((entry = readdir(proc))) {
		int added;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
		    !has_guest(dirfd(proc), entry->d_name, hypervisor))
			continue;
		if (read_line(name, sizeof(name), "/proc/%s/comm", entry->d_name))
			continue;
		added = snprintf(text + used, size - used, "%s%s (pid %.16s)", used ? ", " : "",
				 name, entry->d_name);
		if (added < 0 || (size_t)added >= size - used) {
			/* No room for one more: cut the list at the last whole name. */
			text[used] = '\0';
			break;
		}
		used += (size_t)added;
	}
	closedir(proc);
	return used;
}

/**
 * beside_executable() - find a file of the source tree that this tool was built in
 * @path: where it is
 * @size: size of @path
 * @file: its path, relative to the directory of the executable
 *
 * Return: whether it is there.
 */
bool beside_executable(char *path, size_t size, const char *file)
{
	char self[PATH_MAX];
	char *slash;
	ssize_t len;
	int need;

	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0)
		return false;
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = '\0';
	need = snprintf(path, size, "%s/%s", self, file);
	return need > 0 && (size_t)need < size && !access(path, R_OK);
}

/** rule_installed() - whether udev knows our rule */
bool rule_installed(void)
{
	static const char *const places[] = { "/etc/udev/rules.d/" RULE_FILE,
					      "/usr/lib/udev/rules.d/" RULE_FILE,
					      "/lib/udev/rules.d/" RULE_FILE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (!access(places[i], F_OK))
			return true;
	}
	return false;
}

/** device_is_open_to_group() - whether the node belongs to group kvm and the group may use it */
bool device_is_open_to_group(const char *path)
{
	const struct group *group = getgrnam(DEVICE_GROUP);
	struct stat st;

	return group && !stat(path, &st) && st.st_gid == group->gr_gid && (st.st_mode & 0060) == 0060;
}

/** rule_remedy() - the command that installs the udev rule */
const char *rule_remedy(void)
{
	static char text[PATH_MAX + 160];
	char path[PATH_MAX];

	if (rule_installed())
		snprintf(text, sizeof(text), "sudo udevadm trigger --settle --name-match=lamina");
	else if (beside_executable(path, sizeof(path), RULE_FILE))
		snprintf(text, sizeof(text),
			 "sudo install -m 644 '%s' /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger --settle --name-match=lamina",
			 path);
	else
		snprintf(text, sizeof(text), "sudo chgrp " DEVICE_GROUP " " LM_DEVICE " && sudo chmod 0660 " LM_DEVICE);
	return text;
}
