/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine offers a VM: a KVM that runs a stock guest, and the rate of its TSC. Found once a boot. */
#ifndef MONITOR_PROBE_H
#define MONITOR_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define PROBE_REASON_MAX 160

struct probe {
	bool kvm;
	uint32_t tsc_khz;
	double ms;                         /* how long the KVM probe took */
	char reason[PROBE_REASON_MAX + 1]; /* why not, or "" */
};

/* Runs the probe guest in a child process; always answers within a second. */
void probe_kvm(struct probe *ret);

/* The answer kept in the file when it is of this boot, else a new one, which is kept there (when that works). */
void probe_cached(int dir_fd, const char *path, struct probe *ret);

/* One line of JSON. */
#define PROBE_LINE_MAX 512
void probe_print(const struct probe *p, char out[PROBE_LINE_MAX]);

#endif
