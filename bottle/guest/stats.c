/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the kernel's counters from /proc, /sys and the container's cgroup; in bottle-init, on request. */
#include "guest/stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "guest/mounts.h"
#include "proto/guest.h"

#define STATS_FILE_MAX (64 * 1024)
#define NS_PER_SECOND  1000000000ULL
#define SECTOR         512

static char *slurp(const char *path)
{
	char *text = NULL;
	size_t len;

	return file_read_at(AT_FDCWD, path, STATS_FILE_MAX, &text, &len) == 0 ? text : NULL;
}

/* The number behind "name" at the start of a line. */
static uint64_t number_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at ? 1 : 0)
		if (strncmp(at, name, n) == 0)
			return strtoull(at + n, NULL, 10);
	return 0;
}

static void memory(struct tlv *t)
{
	_cleanup_free_ char *text = slurp("/proc/meminfo");
	uint64_t total = number_of(text, "MemTotal:"), available = number_of(text, "MemAvailable:");

	tlv_u64(t, GUEST_TAG_STAT_MEM_TOTAL, total * 1024);
	tlv_u64(t, GUEST_TAG_STAT_MEM_USED, (total > available ? total - available : 0) * 1024);
	tlv_u64(t, GUEST_TAG_STAT_MEM_CACHE, number_of(text, "Cached:") * 1024);
}

/* /proc/stat's first line: user nice system idle iowait irq softirq, in ticks. */
static void cpu(struct tlv *t)
{
	_cleanup_free_ char *text = slurp("/proc/stat");
	uint64_t v[7] = { 0 }, tick = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);

	if (text)
		sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		       &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]);
	tlv_u64(t, GUEST_TAG_STAT_CPU_USER_NS, (v[0] + v[1]) * tick);
	tlv_u64(t, GUEST_TAG_STAT_CPU_SYSTEM_NS, (v[2] + v[5] + v[6]) * tick);
	tlv_u64(t, GUEST_TAG_STAT_CPU_COUNT, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static void pids(struct tlv *t)
{
	_cleanup_free_ char *text = slurp(MOUNTS_CGROUP "/pids.current");

	tlv_u64(t, GUEST_TAG_STAT_PIDS, number_of(text, ""));
}

/* Every interface but lo. */
static void network(struct tlv *t)
{
	_cleanup_free_ char *text = slurp("/proc/net/dev");
	uint64_t sum[4] = { 0 }, v[4];
	char *at = text, *line;

	while ((line = strsep(&at, "\n"))) {
		char *colon = strchr(line, ':');

		if (!colon || strstr(line, " lo:") || str_prefix(line, "lo:") ||
		    sscanf(colon + 1, "%" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &v[0],
			   &v[1], &v[2], &v[3]) != 4)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(sum); i++)
			sum[i] += v[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(sum); i++)
		tlv_u64(t, (uint16_t)(GUEST_TAG_STAT_RX_BYTES + i), sum[i]);
}

static void disks(struct tlv *t)
{
	_cleanup_free_ char *text = slurp("/proc/diskstats");
	uint64_t rd = 0, wr = 0, r, w;
	char *at = text, *line;

	while ((line = strsep(&at, "\n"))) {
		if (sscanf(line, " %*u %*u vd%*s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &r, &w) != 2)
			continue;
		rd += r;
		wr += w;
	}
	tlv_u64(t, GUEST_TAG_STAT_READ_BYTES, rd * SECTOR);
	tlv_u64(t, GUEST_TAG_STAT_WRITE_BYTES, wr * SECTOR);
}

void stats_collect(struct tlv *t)
{
	memory(t);
	cpu(t);
	pids(t);
	network(t);
	disks(t);
}
