// SPDX-License-Identifier: GPL-2.0-only
/*
 * lamina load and lamina unload: the module through libkmod.
 *
 * libkmod is opened only here, since it brings compression and cryptography along that would cost every
 * guest's process half a megabyte of memory.
 */
#include <argp.h>
#include <dlfcn.h>
#include <errno.h>
#include <libkmod.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "host.h"
#include "tool.h"

#define MODULE "lamina"
#define NODE_WAIT_MS 2000
#define SIGN_HINT "sign it with '/usr/src/linux-headers-$(uname -r)/scripts/sign-file sha256 MOK.priv MOK.der lamina.ko' and enrol the key with 'sudo mokutil --import MOK.der'"

static struct {
	struct kmod_ctx *ctx;
	__typeof__(&kmod_new) new;
	__typeof__(&kmod_set_log_priority) set_log_priority;
	__typeof__(&kmod_module_new_from_path) new_from_path;
	__typeof__(&kmod_module_new_from_name) new_from_name;
	__typeof__(&kmod_module_get_path) get_path;
	__typeof__(&kmod_module_insert_module) insert;
	__typeof__(&kmod_module_probe_insert_module) probe;
	__typeof__(&kmod_module_remove_module) remove;
	__typeof__(&kmod_module_unref) unref;
} kmod;

static const struct symbol symbols[] = {
	{ "kmod_new", &kmod.new },
	{ "kmod_set_log_priority", &kmod.set_log_priority },
	{ "kmod_module_new_from_path", &kmod.new_from_path },
	{ "kmod_module_new_from_name", &kmod.new_from_name },
	{ "kmod_module_get_path", &kmod.get_path },
	{ "kmod_module_insert_module", &kmod.insert },
	{ "kmod_module_probe_insert_module", &kmod.probe },
	{ "kmod_module_remove_module", &kmod.remove },
	{ "kmod_module_unref", &kmod.unref },
};

static int open_kmod(void)
{
	void *library = dlopen("libkmod.so.2", RTLD_NOW);

	if (!library)
		return fail("libkmod does not open (%s): install it with 'sudo apt-get install libkmod2'",
			    dlerror());
	if (resolve(library, "libkmod", symbols, ARRAY_SIZE(symbols)))
		return -1;
	kmod.ctx = kmod.new(NULL, NULL);
	if (!kmod.ctx)
		return fail("libkmod does not start");
	kmod.set_log_priority(kmod.ctx, LOG_CRIT);	/* what it has to say, we say */
	return 0;
}

/* Where the user says, else where modprobe would look, else in the source tree. */
static int find_module(const char *path, struct kmod_module **mod)
{
	char beside[PATH_MAX];

	if (path) {
		if (access(path, R_OK))
			return fail_errno("cannot read the module %s", path);
	} else {
		if (!kmod.new_from_name(kmod.ctx, MODULE, mod)) {
			if (kmod.get_path(*mod))
				return 0;
			kmod.unref(*mod);
		}
		if (!beside_executable(beside, sizeof(beside), "../lamina.ko") &&
		    !beside_executable(beside, sizeof(beside), "lamina.ko"))
			return fail("no lamina.ko for this kernel: build it with 'make', or name it with --module FILE");
		path = beside;
	}
	if (kmod.new_from_path(kmod.ctx, path, mod) < 0)
		return fail("%s is not a kernel module", path);
	return 0;
}

static int explain_insert(int error)
{
	char users[256];

	switch (error) {
	case EPERM:
		if (geteuid())
			return fail("no permission to load modules: use sudo");
		return fail("the kernel is locked down and takes signed modules only: " SIGN_HINT);
	case EKEYREJECTED:
	case ENOKEY:
		return fail("Secure Boot: the kernel does not know the module's signature: " SIGN_HINT);
	case ENOEXEC:
		return fail("the module was built for another kernel: build it again with 'make'; 'dmesg | tail' says more");
	case EBUSY:
		if (guest_owners("kvm", users, sizeof(users)))
			return fail("KVM is using the CPU's virtualisation for %s: end that first", users);
		return fail("another hypervisor holds the CPU's virtualisation: 'sudo lamina load --replace-kvm', or from Linux 6.12 on boot with kvm.enable_virt_at_load=0");
	case EINVAL:
		return fail("the module refuses a parameter: 'modinfo lamina.ko' lists them, 'dmesg | tail' says which");
	case EOPNOTSUPP:
	case ENODEV:
		return fail("this host is not fit: 'lamina check' says why");
	case ENOENT:
		return fail("the module needs symbols that this kernel lacks: build it again with 'make'; 'dmesg | tail' names them");
	default:
		errno = error;
		return fail_errno("cannot load the module ('dmesg | tail' may say why)");
	}
}

static int remove_module(const char *name)
{
	struct kmod_module *mod;
	int err;

	if (kmod.new_from_name(kmod.ctx, name, &mod) < 0)
		return fail("libkmod does not know %s", name);
	err = kmod.remove(mod, 0);
	kmod.unref(mod);
	if (err == -EPERM && geteuid())
		return fail("no permission to unload modules: use sudo");
	if (err == -EBUSY || err == -EAGAIN)
		return fail("%s is in use", name);
	if (err < 0 && err != -ENOENT) {
		errno = -err;
		return fail_errno("cannot unload %s", name);
	}
	return 0;
}

/* In the order of unloading: the vendor's module holds the common one. */
static const char *const kvm_modules[] = { "kvm_amd", "kvm_intel", "kvm" };

/* Load again what was unloaded, the common one first. */
static void restore_kvm(unsigned int removed)
{
	struct kmod_module *mod;
	unsigned int i;

	for (i = ARRAY_SIZE(kvm_modules); i-- > 0;) {
		if (!(removed & 1u << i) || kmod.new_from_name(kmod.ctx, kvm_modules[i], &mod) < 0)
			continue;
		if (!kmod.probe(mod, 0, NULL, NULL, NULL, NULL))
			printf("loaded %s again\n", kvm_modules[i]);
		else
			printf("could not load %s again: 'sudo modprobe %s'\n", kvm_modules[i],
			       kvm_modules[i]);
		kmod.unref(mod);
	}
}

static int remove_kvm(unsigned int *removed)
{
	char users[256];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kvm_modules); i++) {
		const char *name = kvm_modules[i];

		if (!module_loaded(name))
			continue;
		if (module_users(name) > 0) {
			if (guest_owners("kvm", users, sizeof(users)))
				return fail("KVM is in use by %s: end that first", users);
			return fail("%s is in use: 'ls /sys/module/%s/holders' names modules that hold it; root sees other users' processes too",
				    name, name);
		}
		if (remove_module(name))
			return -1;
		*removed |= 1u << i;
		printf("unloaded %s\n", name);
	}
	return 0;
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* The node comes from devtmpfs at once; its group comes from udev a little later. */
static int check_node(void)
{
	unsigned int waited;

	for (waited = 0; access(LM_DEVICE, F_OK); waited += 10) {
		if (waited >= NODE_WAIT_MS)
			return fail("the module is loaded, but " LM_DEVICE " did not appear: is devtmpfs mounted on /dev?");
		sleep_ms(10);
	}
	for (waited = 0; rule_installed() && !device_is_open_to_group(LM_DEVICE); waited += 10) {
		if (waited >= NODE_WAIT_MS)
			break;
		sleep_ms(10);
	}
	if (!device_is_open_to_group(LM_DEVICE))
		printf("only root may use " LM_DEVICE " now; to let the group kvm use it:\n  %s\n",
		       rule_remedy());
	return 0;
}

struct load_args {
	const char *module;
	bool replace;
	char parameters[1024];
};

enum { KEY_MODULE = 0x100, KEY_REPLACE };

static const struct argp_option load_options[] = {
	{ "module", KEY_MODULE, "FILE", 0, "The module (default: the installed one, else the one built beside this tool)", 0 },
	{ "replace-kvm", KEY_REPLACE, NULL, 0, "Unload KVM first if nobody uses it", 0 },
	{ 0 },
};

static error_t parse_load(int key, char *arg, struct argp_state *state)
{
	struct load_args *args = state->input;
	size_t used = strlen(args->parameters);

	switch (key) {
	case KEY_MODULE:
		args->module = arg;
		break;
	case KEY_REPLACE:
		args->replace = true;
		break;
	case ARGP_KEY_ARG:
		if (arg[0] == '=' || !strchr(arg, '='))
			argp_error(state, "'%s' is not a parameter: give PARAM=VALUE", arg);
		if (strlen(arg) + 2 > sizeof(args->parameters) - used)
			argp_error(state, "the parameters are too long");
		snprintf(args->parameters + used, sizeof(args->parameters) - used, "%s%s",
			 used ? " " : "", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp load_argp = {
	.options = load_options,
	.parser = parse_load,
	.args_doc = "[PARAM=VALUE...]",
	.doc = "Load the module.\vExit status: 0 loaded (or loaded already), 1 not, 2 usage.",
};

static int load(const struct load_args *args)
{
	unsigned int removed = 0;
	struct kmod_module *mod;
	int err;

	if (open_kmod() || find_module(args->module, &mod))
		return -1;
	err = args->replace ? remove_kvm(&removed) : 0;
	if (!err) {
		err = kmod.insert(mod, 0, args->parameters);
		if (err)
			err = explain_insert(-err);
	}
	kmod.unref(mod);
	if (!err)
		return check_node();
	restore_kvm(removed);
	return -1;
}

/**
 * cmd_load() - the verb
 * @argc: number of arguments
 * @argv: the arguments
 *
 * Return: the exit status.
 */
int cmd_load(int argc, char **argv)
{
	struct load_args args = { 0 };

	argp_parse(&load_argp, argc, argv, 0, NULL, &args);
	if (module_loaded(MODULE)) {
		if (!args.parameters[0]) {
			puts("the module is loaded already");
			return check_node() ? complain() : LM_EXIT_OK;
		}
		fail("the module is loaded already, so its parameters cannot be set: 'sudo lamina unload' first");
		return complain();
	}
	return load(&args) ? complain() : LM_EXIT_OK;
}

static error_t parse_unload(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	argp_error(state, "'%s' is too much: unload takes no argument", arg);
	return 0;
}

static const struct argp unload_argp = {
	.parser = parse_unload,
	.doc = "Unload the module.\vExit status: 0 unloaded (or not loaded), 1 in use or no permission, 2 usage.",
};

/**
 * cmd_unload() - the verb
 * @argc: number of arguments
 * @argv: the arguments
 *
 * Return: the exit status.
 */
int cmd_unload(int argc, char **argv)
{
	char users[256];

	argp_parse(&unload_argp, argc, argv, 0, NULL, NULL);
	if (!module_loaded(MODULE)) {
		puts("the module is not loaded");
		return LM_EXIT_OK;
	}
	if (open_kmod())
		return complain();
	if (module_users(MODULE) > 0) {
		if (guest_owners(MODULE, users, sizeof(users)))
			fail("the module is in use by %s: end that first", users);
		else
			fail("the module is in use: end the guests that run first (root sees other users' too)");
		return complain();
	}
	return remove_module(MODULE) ? complain() : LM_EXIT_OK;
}
