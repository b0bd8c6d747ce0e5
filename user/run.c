// SPDX-License-Identifier: GPL-2.0-only
/*
 * lamina run: boots a kernel in a guest, its console on this terminal.
 */
#include <argp.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "console.h"
#include "control.h"
#include "devices.h"
#include "machine.h"
#include "sandbox.h"
#include "tool.h"

#define DEFAULT_MEMORY (512ull << 20)
#define DEFAULT_CMDLINE "console=ttyS0"
#define VIRTIO_CMDLINE "console=hvc0"

enum {
	KEY_KERNEL = 0x100,
	KEY_INITRD,
	KEY_APPEND,
	KEY_NAME,
	KEY_DEVICE,
	KEY_NO_REBOOT,
	KEY_OVERCOMMIT,
	KEY_DETACH,
	KEY_SANDBOX,
	KEY_DEVICES,		/* plus the place in device_options */
};

/* The kinds of devices on the PCI bus that are options. */
static const char *const device_options[] = { "net", "rng", "vsock", "disk", "balloon", "console", "share" };

struct run_args {
	struct machine_config config;
	struct sandbox sandbox;
	bool no_reboot;
	bool overcommit;
	bool detach;
	bool hvc;		/* there is a virtio console */
	bool create;		/* detached, and waits for 'lamina start' */
};

static const struct argp_option options[] = {
	{ "kernel", KEY_KERNEL, "FILE", 0, "Kernel to boot: a bzImage, or an ELF vmlinux with a PVH entry", 0 },
	{ "initrd", KEY_INITRD, "FILE", 0, "Initial RAM disk", 0 },
	{ "append", KEY_APPEND, "STRING", 0, "Kernel command line (default: " DEFAULT_CMDLINE ")", 0 },
	{ "mem", 'm', "SIZE", 0, "Memory, with K, M, G or T; MiB without (default: 512M)", 0 },
	{ "cpus", 'c', "N", 0, "Number of vCPUs (default: 1)", 0 },
	{ "name", KEY_NAME, "NAME", 0, "Name of the guest, by which 'lamina list' and others find it", 0 },
	{ "detach", KEY_DETACH, NULL, 0, "Run without a terminal; 'lamina console' attaches one", 0 },
	{ "no-reboot", KEY_NO_REBOOT, NULL, 0, "End when the guest reboots instead of starting it again", 0 },
	{ "overcommit", KEY_OVERCOMMIT, NULL, 0, "Allow more memory than the host has", 0 },
	{ "net", KEY_DEVICES, "tap=NAME[,bridge=NAME]|user[,mac=ADDRESS][,forward=tcp:PORT:PORT]", 0, "A network card: on a tap of the host, which is made, put into the bridge, and removed at the end; or on a network of its own, which needs no rights and which ports of the host can lead to", 0 },
	{ "rng", KEY_DEVICES + 1, NULL, 0, "A source of random numbers (virtio-rng)", 0 },
	{ "vsock", KEY_DEVICES + 2, "CID", 0, "Sockets between host and guest; the guest's address is CID, from 3 on", 0 },
	{ "disk", KEY_DEVICES + 3, "FILE[,ro][,direct][,split][,serial=S]", 0, "A disk (virtio-blk): a raw image or a block device", 0 },
	{ "balloon", KEY_DEVICES + 4, NULL, 0, "A balloon (virtio-balloon), for 'lamina balloon'; free memory goes back to the host by itself", 0 },
	{ "console", KEY_DEVICES + 5, "virtio", 0, "A console (virtio-console, hvc0) on this terminal, besides the serial port; the kernel uses it unless --append says otherwise", 0 },
	{ "share", KEY_DEVICES + 6, "DIRECTORY:TAG[,ro]", 0, "A directory of the host, which the guest mounts by its TAG (9p over virtio)", 0 },
	{ "sandbox", KEY_SANDBOX, "on[,share][,net][,root]|log|off", 0, "Whether this process gives up what it does not need before the guest runs (default: on). share, net: such devices may be attached later; root: an empty root directory too", 0 },
	DEVICE_OPTION(KEY_DEVICE),
	{ 0 },
};

static bool name_is_good(const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return len && len <= 63 && isalnum((unsigned char)name[0]);
}

static void set_name(struct machine_config *config, const char *name, struct argp_state *state)
{
	if (!name_is_good(name))
		argp_error(state, "'%s' is not a name: up to 63 letters, digits, '.', '_' or '-', the first a letter or digit",
			   name);
	config->name = name;
	config->named = true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct run_args *args = state->input;
	struct machine_config *config = &args->config;
	const char *option;
	unsigned long number;

	switch (key) {
	case KEY_KERNEL:
		config->boot.kernel = arg;
		break;
	case KEY_INITRD:
		config->boot.initrd = arg;
		break;
	case KEY_APPEND:
		config->boot.cmdline = arg;
		break;
	case KEY_DEVICE:
		config->device = arg;
		break;
	case KEY_NO_REBOOT:
		args->no_reboot = true;
		break;
	case KEY_OVERCOMMIT:
		args->overcommit = true;
		break;
	case KEY_NAME:
		set_name(config, arg, state);
		break;
	case KEY_DETACH:
		args->detach = true;
		break;
	case KEY_SANDBOX:
		if (sandbox_parse(arg, &args->sandbox))
			argp_error(state, "--sandbox: %s", fail_text());
		break;
	case 'm':
		if (parse_size(arg, &config->memory))
			argp_error(state, "--mem: %s", fail_text());
		if (config->memory < LEAST_MEMORY || config->memory % 4096)
			argp_error(state, "--mem: '%s' is too little, or not whole pages: give at least 16M", arg);
		break;
	case 'c':
		if (parse_number(arg, 1, MAX_CPUS, &number))
			argp_error(state, "--cpus: %s", fail_text());
		config->cpus = (unsigned int)number;
		break;
	case ARGP_KEY_ARG:
		if (args->create && !config->named) {
			set_name(config, arg, state);
			break;
		}
		argp_error(state, "'%s' is too much: the kernel is given with --kernel", arg);
		break;
	case ARGP_KEY_END:
		if (args->create && !config->named)
			argp_error(state, "no name: give one, as in 'lamina create NAME --kernel FILE'");
		if (args->detach && !config->named)
			argp_error(state, "--detach needs --name NAME, or nobody could find the guest");
		if (!config->boot.kernel)
			argp_error(state, "no kernel: give one with --kernel FILE");
		if (!config->boot.cmdline)
			config->boot.cmdline = args->hvc ? VIRTIO_CMDLINE : DEFAULT_CMDLINE;
		break;
	default:
		if (key < KEY_DEVICES || key >= KEY_DEVICES + (int)ARRAY_SIZE(device_options))
			return ARGP_ERR_UNKNOWN;
		option = device_options[key - KEY_DEVICES];
		if (device_ask_for(config, device_kind(option), arg, -1))
			argp_error(state, "--%s: %s", option, fail_text());
		args->hvc |= !strcmp(option, "console");
		break;
	}
	return 0;
}

#define STATUS \
	"Exit status: 0 after power-off, Ctrl-A x, or a reboot with --no-reboot; 1 could not start; " \
	"2 usage; 3 the guest's CPU shut down (triple fault); 4 the CPU could not enter the guest; " \
	"5 the hypervisor could not go on; 6 the guest reported a crash; 128+N ended by signal N."

static const struct argp run_argp = {
	.options = options,
	.parser = parse,
	.doc = "Boot a kernel in a guest, with its console on this terminal.\v"
	       "On a terminal, Ctrl-A x ends the guest and Ctrl-A h names the other keys.\n\n"
	       "With --detach, the exit status is 0 as soon as the guest runs.\n\n" STATUS,
};

static const struct argp create_argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Make a guest as 'lamina run --detach --name NAME' does, but let it wait for 'lamina start NAME'.\v"
	       "It has its memory and its kernel already; 'lamina kill NAME' throws it away.\n\n"
	       "Exit status: 0 it waits; 1 could not be made; 2 usage.",
};

/* More than RAM and swap cannot end well, so it has to be asked for. */
static int check_memory(const struct run_args *args)
{
	unsigned long long total;
	struct sysinfo info;

	if (args->overcommit || sysinfo(&info))
		return 0;
	total = ((unsigned long long)info.totalram + info.totalswap) * info.mem_unit;
	if (args->config.memory <= total)
		return 0;
	return fail("%llu MiB is more than the host's memory and swap (%llu MiB): give less with --mem, or --overcommit if the guest will not use it all",
		    (unsigned long long)args->config.memory >> 20, total >> 20);
}

/* Open a file that is wanted later, and leave it to hold_open() to find it again. */
static int prepare_file(const char *path, int flags, const char *what)
{
	int fd = hold_open(path, flags);

	if (fd < 0)
		return fail_errno("cannot open the %s %s", what, path);
	hold_close(fd);
	return 0;
}

/* Open all that this guest will ever need, and give up what it takes to open more. */
static int shut_in(struct run_args *args)
{
	struct machine_config *config = &args->config;
	int fd;

	if (args->sandbox.mode == SANDBOX_OFF)
		return 0;
	hold_begin();
	fd = open_device(config->device);
	if (fd < 0)
		return -1;
	hold_close(fd);
	/* For trim(), which does without if it must. */
	prepare_file(PAGEMAP, O_RDONLY, "page map");
	if (prepare_file(config->boot.kernel, O_RDONLY, "kernel") ||
	    (config->boot.initrd && prepare_file(config->boot.initrd, O_RDONLY, "initrd")) ||
	    devices_prepare(config, &args->sandbox.allow))
		return -1;
	if (sandbox_enter(&args->sandbox, config->named))
		return -1;
	if (args->sandbox.mode == SANDBOX_ON)
		hold_shut();
	return 0;
}

static int status_of(const struct machine *m, int why)
{
	switch (why) {
	case STOP_SHUTDOWN:
		return LM_EXIT_SHUTDOWN;
	case STOP_ENTRY:
		return LM_EXIT_ENTRY;
	case STOP_INTERNAL:
		return LM_EXIT_INTERNAL;
	case STOP_CRASHED:
		return LM_EXIT_CRASHED;
	case STOP_SIGNAL:
		return LM_EXIT_SIGNAL + m->stop_signal;
	default:
		return LM_EXIT_OK;
	}
}

/* From power-on to the end; tells whether the guest wants to start again. */
static int run_once(struct run_args *args, bool *again)
{
	char crash[sizeof(((struct machine *)0)->crash)];
	struct machine *m;
	int why, status;

	*again = false;
	m = machine_new(&args->config, console_output());
	if (!m || control_open(m, args->create) || machine_start(m)) {
		if (m) {
			control_close(m);
			machine_free(m);
		}
		console_close();
		return complain();
	}
	control_ready();
	trim();
	console_serve(m);
	why = atomic_load(&m->stop);
	status = status_of(m, why);
	*again = why == STOP_RESET && !args->no_reboot;
	memcpy(crash, m->crash, sizeof(crash));
	control_close(m);
	machine_free(m);
	if (crash[0]) {
		console_close();
		fprintf(stderr, "lamina: %s: %s", args->config.name, crash);
	}
	control_drain();
	return status;
}

static int run(int argc, char **argv, bool create)
{
	struct run_args args = {
		.config = {
			.device = default_device(),
			.name = "guest",
			.memory = DEFAULT_MEMORY,
			.cpus = 1,
		},
		.sandbox = { .mode = SANDBOX_ON },
		.detach = create,
		.create = create,
	};
	bool again = true;
	int status = LM_EXIT_OK;

	argp_parse(create ? &create_argp : &run_argp, argc, argv, 0, NULL, &args);
	args.config.boot.cpus = args.config.cpus;
	if (check_memory(&args) || (args.detach && control_detach()) || console_open())
		return complain();
	if (shut_in(&args)) {
		console_close();
		return complain();
	}
	while (again) {
		status = run_once(&args, &again);
		args.create = false;
	}
	console_close();
	return status;
}

/**
 * cmd_run() - the verb
 * @argc: number of arguments
 * @argv: the arguments
 *
 * Return: the exit status.
 */
int cmd_run(int argc, char **argv)
{
	return run(argc, argv, false);
}

/** cmd_create() - the verb */
int cmd_create(int argc, char **argv)
{
	return run(argc, argv, true);
}
