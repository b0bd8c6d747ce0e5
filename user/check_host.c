// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host's kernel and its other programs leave to the module.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "host.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define SIGN "scripts/sign-file of the kernel headers with your key, and 'sudo mokutil --import MOK.der'"

#define HOLDS "/sys/module/kvm/parameters/enable_virt_at_load"

static void check_kernel(struct report *r)
{
	struct result *result;
	struct utsname name;
	char line[32];

	uname(&name);
	if (!read_line(line, sizeof(line), "/sys/kernel/realtime") && line[0] == '1') {
		result = report_add(r, "kernel", STATE_FAIL, "Linux %s with PREEMPT_RT", name.release);
		set_without(result, "the module refuses to load");
		set_remedy(result, "boot a kernel without PREEMPT_RT");
		return;
	}
	report_add(r, "kernel", STATE_OK, "Linux %s", name.release);
}

static bool secure_boot(void)
{
	uint8_t variable[5] = { 0 };
	int fd = open(SECURE_BOOT, O_RDONLY | O_CLOEXEC);
	bool on;

	if (fd < 0)
		return false;
	/* Four bytes of attributes, then the value. */
	on = read(fd, variable, sizeof(variable)) == sizeof(variable) && variable[4];
	close(fd);
	return on;
}

/* The mode in force stands in brackets: "none [integrity] confidentiality". */
static void lockdown_mode(char *mode, size_t size)
{
	char line[128], *from, *to;

	snprintf(mode, size, "none");
	if (read_line(line, sizeof(line), "/sys/kernel/security/lockdown"))
		return;
	from = strchr(line, '[');
	to = from ? strchr(from, ']') : NULL;
	if (!to)
		return;
	*to = '\0';
	snprintf(mode, size, "%s", from + 1);
}

static void check_signing(struct report *r)
{
	char enforce[8] = "", mode[32];
	struct result *result;
	bool locked;

	lockdown_mode(mode, sizeof(mode));
	locked = strcmp(mode, "none");
	if (locked) {
		result = report_add(r, "lockdown", STATE_WARN, "%s: only signed modules load", mode);
		set_remedy(result, "sign the module: " SIGN);
	} else {
		report_add(r, "lockdown", STATE_OK, "none");
	}
	read_line(enforce, sizeof(enforce), "/sys/module/module/parameters/sig_enforce");
	if (enforce[0] == 'Y') {
		result = report_add(r, "signing", STATE_WARN, "the kernel takes signed modules only%s",
				    secure_boot() ? ", since Secure Boot is on" : "");
		set_remedy(result, "sign the module: " SIGN);
	} else {
		report_add(r, "signing", STATE_OK, "%s",
			   secure_boot() ? "Secure Boot is on, and unsigned modules load" :
					   "unsigned modules load");
	}
}

static void check_kvm(struct report *r)
{
	static const char *const vendors[] = { "kvm_amd", "kvm_intel" };
	struct result *result;
	char users[256], line[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vendors); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/module/%s", vendors[i]);
		if (access(path, F_OK))
			continue;
		if (!module_loaded(vendors[i])) {
			result = report_add(r, "kvm", STATE_WARN, "built into this kernel");
			set_without(result, "the module loads only while KVM does not hold the CPU");
			set_remedy(result, "from Linux 6.12 on boot with kvm.enable_virt_at_load=0, and run no KVM guest");
		} else if (module_users(vendors[i]) > 0 || module_users("kvm") > 1) {
			if (!guest_owners("kvm", users, sizeof(users)))
				snprintf(users, sizeof(users), "processes that only root may see");
			result = report_add(r, "kvm", STATE_FAIL, "in use by %s", users);
			set_remedy(result, "end that, then 'sudo lamina load --replace-kvm'");
		} else {
			/* Linux 6.12 and later have the parameter. */
			bool holds = !read_line(line, sizeof(line), HOLDS) && line[0] == 'Y';

			result = report_add(r, "kvm", STATE_WARN, "%s is loaded and idle%s", vendors[i],
					    holds ? ", and holds the CPU from its load on" : "");
			set_without(result, "beside KVM the module refuses to load");
			set_remedy(result, "'sudo lamina load --replace-kvm' unloads it%s",
				   holds ? "; or boot with kvm.enable_virt_at_load=0" : "");
		}
		return;
	}
	report_add(r, "kvm", STATE_OK, "not loaded");
}

static void check_others(struct report *r)
{
	static const struct {
		const char *module, *name;
	} others[] = {
		{ "vboxdrv", "VirtualBox" },
		{ "vmmon", "VMware" },
		{ "xen_privcmd", "Xen" },
	};
	struct result *result;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		int users;

		if (!module_loaded(others[i].module))
			continue;
		users = module_users(others[i].module);
		result = report_add(r, "hypervisors", users > 0 ? STATE_FAIL : STATE_WARN,
				    "%s (%s) is loaded%s", others[i].name, others[i].module,
				    users > 0 ? " and in use" : "");
		set_remedy(result, "sudo modprobe -r %s", others[i].module);
		return;
	}
	report_add(r, "hypervisors", STATE_OK, "no other is loaded");
}

static void check_device(struct report *r)
{
	struct result *result;
	int fd;

	if (!module_loaded("lamina")) {
		result = report_add(r, "module", STATE_WARN, "not loaded");
		set_remedy(result, "sudo lamina load");
		return;
	}
	report_add(r, "module", STATE_OK, "loaded");
	fd = open(LM_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		report_add(r, "device", STATE_OK, "you may use %s", LM_DEVICE);
	} else {
		result = report_add(r, "device", STATE_FAIL, "you may not use %s: %s", LM_DEVICE,
				    strerror(errno));
		set_remedy(result, "sudo usermod -aG kvm $USER, and log in again");
	}
	if (device_is_open_to_group(LM_DEVICE)) {
		report_add(r, "group", STATE_OK, "group kvm may use %s", LM_DEVICE);
	} else {
		result = report_add(r, "group", STATE_WARN, "group kvm may not use %s", LM_DEVICE);
		set_remedy(result, "%s", rule_remedy());
	}
}

static void check_rule(struct report *r)
{
	struct result *result;

	if (rule_installed()) {
		report_add(r, "udev-rule", STATE_OK, "installed");
		return;
	}
	result = report_add(r, "udev-rule", STATE_WARN, "not installed");
	set_without(result, "only root may use " LM_DEVICE);
	set_remedy(result, "%s", rule_remedy());
}

/**
 * check_host() - look at the kernel, other hypervisors and permissions
 * @r: takes the results
 */
void check_host(struct report *r)
{
	check_kernel(r);
	check_signing(r);
	check_kvm(r);
	check_others(r);
	check_rule(r);
	check_device(r);
}
