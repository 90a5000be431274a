/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine offers, kept as one line of JSON in the user's runtime
 * directory with the boot's id; in bottle-monitor. A file that does not parse,
 * or of another boot, is as good as none.
 */
#include "monitor/probe.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <x86intrin.h>

#include "base/fd.h"
#include "base/str.h"

#define BOOT_ID_MAX 64
#define TSC_SPAN_US 10000

/* Ticks a millisecond, against the monotonic clock; the reads around each pair bound its error to some ppm. */
static uint32_t measure_tsc_khz(void)
{
	uint64_t t0 = now_mono_us(), t1 = t0, c0, c1;

	while (t1 == t0)
		t1 = now_mono_us();
	t0 = t1;
	c0 = __rdtsc();
	while (t1 - t0 < TSC_SPAN_US)
		t1 = now_mono_us();
	c1 = __rdtsc();
	return (uint32_t)((c1 - c0) * 1000 / (t1 - t0));
}

static bool boot_id(char out[BOOT_ID_MAX])
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_MAX - 1, &text, &n) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	snprintf(out, BOOT_ID_MAX, "%s", text);
	return true;
}

static json_t *to_json(const struct probe *p)
{
	return json_pack("{s:b,s:s,s:f,s:I}", "kvm", p->kvm, "reason", p->reason, "ms", p->ms, "tsc_khz",
			 (json_int_t)p->tsc_khz);
}

void probe_print(const struct probe *p, char out[PROBE_LINE_MAX])
{
	json_t *j = to_json(p);
	size_t n = json_dumpb(j, out, PROBE_LINE_MAX - 1, JSON_COMPACT | JSON_REAL_PRECISION(4));

	out[n < PROBE_LINE_MAX ? n : 0] = '\0';
	json_decref(j);
}

static bool load(int dir_fd, const char *path, const char *boot, struct probe *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *reason, *of;
	json_int_t khz;
	json_t *j;
	size_t n;
	int kvm;
	bool ok;

	if (file_read_at(dir_fd, path, PROBE_LINE_MAX, &text, &n) < 0)
		return false;
	j = json_loadb(text, n, 0, NULL);
	ok = json_unpack(j, "{s:b,s:s,s:F,s:I,s:s}", "kvm", &kvm, "reason", &reason, "ms", &ret->ms, "tsc_khz", &khz,
			 "boot", &of) == 0 &&
	     str_eq(of, boot) && khz > 0 && khz < UINT32_MAX;
	if (ok) {
		ret->kvm = kvm;
		ret->tsc_khz = (uint32_t)khz;
		snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
	}
	json_decref(j);
	return ok;
}

static void save(int dir_fd, const char *path, const char *boot, const struct probe *p)
{
	char line[PROBE_LINE_MAX];
	json_t *j = to_json(p);
	size_t n;

	json_object_set_new(j, "boot", json_string(boot));
	n = json_dumpb(j, line, sizeof(line), JSON_COMPACT | JSON_REAL_PRECISION(4));
	if (n <= sizeof(line))
		file_write_at(dir_fd, path, 0600, line, n);
	json_decref(j);
}

void probe_cached(int dir_fd, const char *path, struct probe *ret)
{
	char boot[BOOT_ID_MAX];
	bool known = boot_id(boot);

	if (known && path && load(dir_fd, path, boot, ret))
		return;
	probe_kvm(ret);
	ret->tsc_khz = measure_tsc_khz();
	if (known && path)
		save(dir_fd, path, boot, ret);
}
