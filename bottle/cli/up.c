/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bottle up: a client of the Engine socket that makes the parts of a bottle in
 * the order that keeps the agent shut in at every moment: networks, sidecar, its
 * policy, its health, the leak probe from the agent's own place, and only then
 * the agent. A failure at any step, or a
 * signal, removes what was made and names the step.
 */
#include "cli/up.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/bottles.h"
#include "cli/cli.h"
#include "cli/probe.h"
#include "cli/session.h"

#define SIDECAR_READY_MS 60000 /* a cold boot under emulation takes seconds */
#define SIDECAR_TRY_MS   20000
#define RETRY_MS         250
#define CTL_TEXT_MAX     300
#define PROBE_TRIES      3
#define PROBE_MS         15000 /* the probe bounds itself to 1.5 s; the rest is the engine's and emulation's */

int cli_load_policy(const char *file, struct policy **ret, char **ret_compiled, char **ret_hash)
{
	_cleanup_policy_errors_ struct policy_errors errors = { 0 };
	struct err e = { 0 };
	int r = policy_load(file, ret, &errors, &e);

	if (r == -EBADMSG && errors.n) {
		for (size_t i = 0; i < errors.n; i++)
			fprintf(stderr, "%s\n", errors.v[i].text);
		if (errors.more)
			fprintf(stderr, "%s: and %zu more\n", file, errors.more);
		return EXIT_POLICY;
	}
	if (r == 0)
		r = policy_seal(*ret, ret_compiled, ret_hash, &e);
	if (r == 0)
		return -1;
	cli_error("%s", e.text);
	return EXIT_FAILED;
}

int up_open(struct up *u, const char *file, const char *name, struct policy **ret_policy)
{
	_cleanup_free_ char *compiled = NULL, *hash = NULL;
	int code;

	if (name && !policy_name_valid(name)) {
		cli_error("'%.60s' is no name: 1 to %d lower-case letters, digits and inner dashes", name,
			  POLICY_NAME_MAX);
		return EXIT_USAGE;
	}
	code = cli_load_policy(file, ret_policy, &compiled, &hash);
	if (code >= 0)
		return code;
	plan_init(&u->plan, *ret_policy, name ? name : (*ret_policy)->name, compiled, hash);
	u->steps = json_array();
	u->probe_start.fd = -1;
	return -1;
}

void up_done(struct up *u)
{
	plan_done(&u->plan);
	free(u->agent_id);
	free(u->probe_id);
	stream_done(&u->probe_start);
	json_decref(u->steps);
}

/* ---- steps ---- */

static int need_image(const char *image, const char *shipped, struct err *e)
{
	_cleanup_free_ char *target = client_target("images", image, "/json"), *path = proc_share(shipped),
			    *hint = NULL;
	int r = client_call("GET", target, NULL, NULL, e);

	if (r == 0 || e->cls != ERR_NOTFOUND)
		return r;
	hint = access(path, R_OK) == 0 ? xasprintf("docker load -i %s", path) : xasprintf("docker load -i FILE");
	return err_set(e, ERR_UNAVAILABLE, ENOENT, "the image '%s' is not here; load it: eval \"$(bottle env)\"; %s",
		       image, hint);
}

static int step_images(struct up *u, struct err *e)
{
	int r = need_image(SIDECAR_IMAGE, "images/sidecar.tar", e);

	return r < 0 ? r : need_image(u->plan.policy->agent.image, "images/agent.tar", e);
}

static int step_name(struct up *u, struct err *e)
{
	_cleanup_bottle_ struct bottle b = { 0 };
	const json_t *agent;
	int r = bottle_find(u->plan.name, &b, e);

	if (r < 0)
		return e->cls == ERR_NOTFOUND ? 0 : r;
	agent = bottle_part(&b, "agent");
	return err_set(
		e, ERR_CONFLICT, EEXIST,
		"a bottle '%s' is there already (agent %s%s); 'bottle down %s' removes it, --name gives another name",
		u->plan.name, part_state(agent),
		str_eq(object_label(agent, LABEL_POLICY), u->plan.hash) ? ", same policy" : "", u->plan.name);
}

static int make_network(struct up *u, bool internal, struct err *e)
{
	_cleanup_json_ json_t *body = plan_network(&u->plan, internal);

	u->made = true;
	return client_call("POST", API_PREFIX "/networks/create", body, NULL, e);
}

static int step_networks(struct up *u, struct err *e)
{
	_cleanup_json_ json_t *networks = NULL;
	int r = client_call("GET", API_PREFIX "/networks", NULL, &networks, e);

	if (r == 0)
		r = plan_place(&u->plan, networks, e);
	if (r == 0)
		r = make_network(u, true, e);
	return r < 0 ? r : make_network(u, false, e);
}

static int make_container(const char *name, json_t *body, char **ret_id, struct err *e)
{
	_cleanup_free_ char *target = xasprintf(API_PREFIX "/containers/create?name=%s", name);
	_cleanup_json_ json_t *answer = NULL, *taken = body;
	const char *id;
	int r = client_call("POST", target, taken, &answer, e);

	if (r < 0)
		return r;
	id = json_string_value(json_object_get(answer, "Id"));
	if (!id)
		return err_set(e, ERR_INTERNAL, EPROTO, "the engine gave '%s' no id", name);
	*ret_id = xstrdup(id);
	return 0;
}

static int start_container(const char *id, struct err *e)
{
	_cleanup_free_ char *target = client_target("containers", id, "/start");

	return client_call("POST", target, NULL, NULL, e);
}

/* The probe's machine boots beside the sidecar's: its start is only begun here, and looked after in step_probe. */
static int step_sidecar(struct up *u, struct err *e)
{
	_cleanup_free_ char *id = NULL, *probe_start = NULL;
	int r = make_container(u->plan.sidecar, plan_sidecar(&u->plan), &id, e);

	if (r == 0)
		r = make_container(u->plan.probe, plan_probe(&u->plan), &u->probe_id, e);
	if (r < 0)
		return r;
	probe_start = client_target("containers", u->probe_id, "/start");
	r = client_begin("POST", probe_start, NULL, &u->probe_start, e);
	return r < 0 ? r : start_container(id, e);
}

/* One "/sidecar ctl VERB" in the sidecar: 0, or an error with its last words. */
static int sidecar_ctl(struct up *u, const char *verb, const char *input, struct err *e)
{
	char *const argv[] = { (char[]){ "/sidecar" }, (char[]){ "ctl" }, xstrdup(verb), NULL };
	_cleanup_buf_ struct buf out = { 0 };
	struct exec_spec x = { .container = u->plan.sidecar,
			       .argv = argv,
			       .input = input,
			       .out = &out,
			       .timeout_ms = SIDECAR_TRY_MS,
			       .ret_signo = &u->signo };
	int r = session_exec(&x, e);

	free(argv[2]);
	if (r > 0)
		r = err_set(e, ERR_UNAVAILABLE, EIO, "the sidecar said (exit code %d): %.*s", r,
			    (int)(buf_len(&out) > CTL_TEXT_MAX ? CTL_TEXT_MAX : buf_len(&out)),
			    buf_len(&out) ? buf_ptr(&out) : "");
	return r;
}

/* Adds the sidecar's last lines to e, when it has ended: they say why. */
static void add_last_words(struct up *u, struct err *e)
{
	_cleanup_free_ char *target = client_target("containers", u->plan.sidecar, "/logs?stdout=1&stderr=1&tail=3");
	_cleanup_stream_ struct stream s = { .fd = -1 };
	_cleanup_buf_ struct buf raw = { 0 };
	struct frames frames = { 0 };
	struct err ignored = { 0 };
	struct slice piece;
	size_t n = strlen(e->text);
	int stream, r = client_stream("GET", target, NULL, &s, &ignored);
	ssize_t used;

	while (r >= 0 && buf_len(&raw) < CTL_TEXT_MAX && (r = stream_read(&s, &raw, &ignored)) > 0)
		;
	if (r >= 0 && buf_len(&raw))
		n += (size_t)snprintf(e->text + n, sizeof(e->text) - n, "; the sidecar's last words: ");
	while (n < sizeof(e->text) && buf_len(&raw) && (used = frames_next(&frames, &raw, &stream, &piece)) > 0) {
		n += (size_t)snprintf(e->text + n, sizeof(e->text) - n, SLICE_FMT, SLICE_ARG(piece));
		buf_consume(&raw, (size_t)used);
	}
	for (n = strlen(e->text); n && e->text[n - 1] == '\n'; n--)
		e->text[n - 1] = '\0';
}

/* Signals are blocked by now: a pause is a whole one, and the caller looks for them behind it. */
static void pause_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static bool asked_to_stop(struct up *u)
{
	const struct timespec at_once = { 0 };
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signo = sigtimedwait(&set, NULL, &at_once);
	if (signo > 0)
		u->signo = signo;
	return u->signo != 0;
}

/* The sidecar boots and its control socket appears when it does: tried until then, within a bound. */
static int sidecar_ctl_retry(struct up *u, const char *verb, const char *input, struct err *e)
{
	uint64_t deadline = now_mono_ms() + SIDECAR_READY_MS;
	int r;

	do {
		r = sidecar_ctl(u, verb, input, e);
		if (r == 0)
			return 0;
		if (e->cls == ERR_NOTFOUND || e->cls == ERR_CONFLICT)
			break; /* it does not run any more */
		if (asked_to_stop(u))
			return err_set(e, ERR_UNAVAILABLE, EINTR, "stopped by a signal");
		pause_ms(RETRY_MS);
	} while (now_mono_ms() < deadline);
	add_last_words(u, e);
	return r;
}

static int step_policy(struct up *u, struct err *e)
{
	return sidecar_ctl_retry(u, "apply", u->plan.compiled, e);
}

static int step_health(struct up *u, struct err *e)
{
	return u->no_wait ? 0 : sidecar_ctl_retry(u, "status", NULL, e);
}

static json_t *ask_targets(struct up *u, struct err *e)
{
	_cleanup_json_ json_t *containers = NULL, *networks = NULL;

	if (client_call("GET", API_PREFIX "/containers/json?all=1", NULL, &containers, e) < 0 ||
	    client_call("GET", API_PREFIX "/networks", NULL, &networks, e) < 0)
		return NULL;
	return probe_targets(&u->plan, containers, networks);
}

static int run_probe(struct up *u, const char *targets, struct err *e)
{
	char *const argv[] = { (char[]){ "/sidecar-probe" }, (char[]){ "run" }, NULL };
	_cleanup_buf_ struct buf out = { 0 };
	struct exec_spec x = { .container = u->plan.probe,
			       .argv = argv,
			       .input = targets,
			       .out = &out,
			       .timeout_ms = PROBE_MS,
			       .ret_signo = &u->signo };
	int r = session_exec(&x, e);

	if (r < 0)
		return r;
	r = probe_verdict(r, &out, &u->checked, e);
	if (r < 0)
		probe_tell_leaks(stderr, &out);
	return r;
}

/* A leak is final. No verdict (a busy machine answers too late) is asked for again, a few times. */
static int ask_probe(struct up *u, struct err *e)
{
	_cleanup_json_ json_t *targets = ask_targets(u, e);
	_cleanup_free_ char *text = NULL;
	int r;

	if (!targets)
		return -(e->code ? e->code : EIO);
	text = json_dumps(targets, JSON_COMPACT);
	r = run_probe(u, text, e);
	for (int i = 1; r < 0 && e->cls == ERR_UNAVAILABLE && i < PROBE_TRIES && !asked_to_stop(u); i++)
		r = run_probe(u, text, e);
	return r;
}

/* Whatever answers where the agent would stand ends it here. The probe's place and address are then free. */
static int step_probe(struct up *u, struct err *e)
{
	_cleanup_free_ char *target = client_target("containers", u->probe_id, "?force=1&v=1");
	int r = client_finish("POST", &u->probe_start, NULL, e);

	if (r == 0)
		r = ask_probe(u, e);
	if (r < 0)
		return err_wrap(e, "leak probe");
	return client_call("DELETE", target, NULL, NULL, e);
}

static int step_agent(struct up *u, struct err *e)
{
	return make_container(u->plan.agent, plan_agent(&u->plan, &u->agent), &u->agent_id, e);
}

static int step_start(struct up *u, struct err *e)
{
	return start_container(u->agent_id, e);
}

struct step {
	const char *name;
	int (*fn)(struct up *u, struct err *e);
};

static const struct step prepare_steps[] = {
	{ "images", step_images },   { "name", step_name },     { "networks", step_networks },
	{ "sidecar", step_sidecar }, { "policy", step_policy }, { "health", step_health },
	{ "probe", step_probe },     { "agent", step_agent },
};
static const struct step start_step = { "start", step_start };

static void tell(struct up *u, const char *name, uint64_t ms)
{
	json_t *step = json_pack("{s:s, s:I}", "step", name, "ms", (json_int_t)ms);

	if (str_eq(name, "probe"))
		json_object_set_new(step, "checked", json_integer(u->checked));
	json_array_append_new(u->steps, step);
	if (!u->progress)
		return;
	fprintf(u->progress, "%s%-10s %6.2f s", isatty(fileno(u->progress)) ? "\r\033[K" : "", name, (double)ms / 1000);
	if (str_eq(name, "probe"))
		fprintf(u->progress, "  %u checks, no leak", u->checked);
	fprintf(u->progress, "\n");
	fflush(u->progress);
}

static int do_step(struct up *u, const struct step *step, struct err *e)
{
	uint64_t began = now_mono_ms();
	int r;

	u->step = step->name;
	if (u->progress && isatty(fileno(u->progress))) {
		fprintf(u->progress, "%-10s …", step->name);
		fflush(u->progress);
	}
	r = step->fn(u, e);
	if (r == 0 && asked_to_stop(u))
		r = err_set(e, ERR_UNAVAILABLE, EINTR, "stopped by a signal");
	if (r < 0) {
		if (u->progress && isatty(fileno(u->progress)))
			fprintf(u->progress, "\r\033[K");
		err_wrap(e, "bottle '%s' is not up: step '%s'", u->plan.name, u->step);
		up_undo(u, e);
		return -(e->code ? e->code : EIO);
	}
	tell(u, step->name, now_mono_ms() - began);
	return 0;
}

void up_undo(struct up *u, struct err *e)
{
	struct err undo = { 0 };
	struct removal done;

	if (!u->made)
		return;
	u->made = false;
	if (u->probe_start.fd >= 0) /* what is being started is removed when it stands */
		client_finish("POST", &u->probe_start, NULL, &undo);
	if (bottle_remove(u->plan.name, &done, &undo) < 0 && undo.cls != ERR_NOTFOUND) {
		size_t n = strlen(e->text);

		snprintf(e->text + n, sizeof(e->text) - n, "; and removing it failed: %.150s", undo.text);
	}
}

/* Signals wait until a step has ended, so that nothing is left half-made. */
static void hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

int up_prepare(struct up *u, struct err *e)
{
	int r = 0;

	hold_signals(SIG_BLOCK);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(prepare_steps); i++)
		r = do_step(u, &prepare_steps[i], e);
	return r;
}

int up_start(struct up *u, struct err *e)
{
	return do_step(u, &start_step, e);
}

/* ---- the command ---- */

static void report(struct up *u, bool json)
{
	const struct policy *p = u->plan.policy;

	if (json) {
		cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "name", u->plan.name, "policy", u->plan.hash,
					 "agent", u->agent_id, "sidecar_address", u->plan.sidecar_addr, "agent_address",
					 u->plan.agent_addr, "steps", u->steps));
		return;
	}
	printf("%s is up: policy %.12s", u->plan.name, u->plan.hash);
	for (size_t i = 0; i < p->n_publish; i++)
		printf(", status on %s:%u", p->publish[i].host_ip, p->publish[i].host_port);
	printf("\n'bottle exec -it %s -- sh' enters it, 'bottle down %s' removes it\n", u->plan.name, u->plan.name);
}

int cmd_up(int argc, char **argv)
{
	_cleanup_policy_ struct policy *policy = NULL;
	struct up u = { .progress = stdout };
	const char *name = NULL;
	struct err e = { 0 };
	bool json = false;
	const struct opt opts[] = {
		{ 'n', "name", OPT_STR, &name, "NAME", "the bottle's name (default: the policy's)" },
		{ 0, "no-wait", OPT_FLAG, &u.no_wait, NULL,
		  "do not wait until the sidecar is healthy; until then nothing gets out" },
		{ 0, "json", OPT_FLAG, &json, NULL, "print the result as JSON" },
		{ 0 },
	};
	const struct opt_usage usage = {
		.synopsis = "bottle up [OPTIONS] FILE",
		.summary = "Starts a bottle from a policy file: networks, sidecar, policy, leak probe, agent.",
		.opts = opts
	};
	int first, code = cli_parse(&usage, argc, argv, 1, 1, &first);

	if (code < 0)
		code = up_open(&u, argv[first], name, &policy);
	if (code >= 0)
		return code;
	u.agent.tty = policy->agent.tty;
	u.progress = json ? NULL : stdout;
	if (up_prepare(&u, &e) < 0 || up_start(&u, &e) < 0) {
		cli_error("%s", e.text);
		code = u.signo ? 128 + u.signo : EXIT_FAILED;
	} else {
		report(&u, json);
		code = EXIT_DONE;
	}
	up_done(&u);
	return code;
}
