// SPDX-License-Identifier: GPL-2.0-only
/*
 * lamina check: is this host fit to run guests? Prints what the checks found, for people or for scripts.
 */
#include <argp.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static const char *const state_names[] = { "ok", "warn", "fail" };

/**
 * report_add() - note a result
 * @r: the report
 * @name: the check
 * @state: what it says about the host
 * @fmt: what is there
 *
 * Return: the result, for without and remedy.
 */
struct result *report_add(struct report *r, const char *name, enum state state,
			  const char *fmt, ...)
{
	struct result *result = &r->results[r->count];
	va_list args;

	/* The list of checks is fixed and shorter than this. */
	if (r->count < ARRAY_SIZE(r->results) - 1)
		r->count++;
	memset(result, 0, sizeof(*result));
	result->name = name;
	result->state = state;
	va_start(args, fmt);
	vsnprintf(result->value, sizeof(result->value), fmt, args);
	va_end(args);
	return result;
}

/** set_without() - say what the module does without the thing */
void set_without(struct result *result, const char *text)
{
	snprintf(result->without, sizeof(result->without), "%s", text);
}

/** set_remedy() - say the way out */
void set_remedy(struct result *result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(result->remedy, sizeof(result->remedy), fmt, args);
	va_end(args);
}

static unsigned int count(const struct report *r, enum state state)
{
	unsigned int i, n = 0;

	for (i = 0; i < r->count; i++)
		n += r->results[i].state == state;
	return n;
}

static void print_text(const struct report *r)
{
	unsigned int i, fails = count(r, STATE_FAIL);

	for (i = 0; i < r->count; i++) {
		const struct result *result = &r->results[i];

		printf("%-4s  %-16s %s\n", state_names[result->state], result->name, result->value);
		if (result->without[0])
			printf("%24s without it: %s\n", "", result->without);
		if (result->remedy[0])
			printf("%24s way out: %s\n", "", result->remedy);
	}
	if (fails)
		printf("This host is not fit: %u %s in the way.\n", fails,
		       fails == 1 ? "thing is" : "things are");
	else
		puts("This host is fit.");
}

static void print_json(const struct report *r)
{
	struct json_object *top = json_object_new_object();
	struct json_object *list = json_object_new_array();
	unsigned int i;

	for (i = 0; i < r->count; i++) {
		const struct result *result = &r->results[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(result->name));
		json_object_object_add(o, "state",
				       json_object_new_string(state_names[result->state]));
		json_object_object_add(o, "value", json_object_new_string(result->value));
		json_object_object_add(o, "without", json_object_new_string(result->without));
		json_object_object_add(o, "remedy", json_object_new_string(result->remedy));
		json_object_array_add(list, o);
	}
	json_object_object_add(top, "fit", json_object_new_boolean(!count(r, STATE_FAIL)));
	json_object_object_add(top, "checks", list);
	puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
						 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	switch (key) {
	case 'j':
		*json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is too much: check takes no argument", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Is this host fit to run guests? Each line tells what is there, what the module does "
	       "without it, and the way out.\vExit status: 0 fit, 1 not fit, 2 usage.",
};

/**
 * cmd_check() - the verb
 * @argc: number of arguments
 * @argv: the arguments
 *
 * Return: the exit status.
 */
int cmd_check(int argc, char **argv)
{
	struct report *report;
	bool json = false;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	report = calloc(1, sizeof(*report));
	if (!report) {
		fail("out of memory");
		return complain();
	}
	check_cpu(report);
	check_host(report);
	if (json)
		print_json(report);
	else
		print_text(report);
	status = count(report, STATE_FAIL) ? LM_EXIT_FAILED : LM_EXIT_OK;
	free(report);
	return status;
}
