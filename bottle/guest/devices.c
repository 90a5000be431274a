/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands virtio devices to their drivers one by one; in bottle-init. While a
 * template is parked its drivers are loaded and hold no disk and no NIC; at
 * HOST_CONFIG a clone takes as many as it was given, and the rest of the
 * template's slots costs it nothing.
 */
#include "guest/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"

#define BUS         "/sys/bus/virtio"
#define DEVICES_MAX 64

static void write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		fd_write_all(fd, text, strlen(text)); /* a device without a driver is then missed by name */
}

/* 0: there is no such device. */
static unsigned kind_of(unsigned number)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), BUS "/devices/virtio%u/device", number);
	return file_read_at(AT_FDCWD, path, 16, &text, &len) == 0 ? (unsigned)strtoul(text, NULL, 16) : 0;
}

static bool has_driver(unsigned number)
{
	char path[64];

	snprintf(path, sizeof(path), BUS "/devices/virtio%u/driver", number);
	return access(path, F_OK) == 0;
}

static void probe(unsigned number)
{
	char name[32];

	snprintf(name, sizeof(name), "virtio%u", number);
	write_text(BUS "/drivers_probe", name);
}

void devices_hold(void)
{
	write_text(BUS "/drivers_autoprobe", "0");
}

/* QEMU fills a microvm's transports from the last to the first: its first device has the highest number. */
bool devices_probe_next(unsigned kind)
{
	static uint64_t tried;

	for (unsigned i = DEVICES_MAX; i-- > 0;) {
		if (tried >> i & 1 || kind_of(i) != kind)
			continue;
		tried |= 1ULL << i;
		if (has_driver(i))
			continue;
		probe(i);
		return true;
	}
	return false;
}

void devices_probe_others(void)
{
	for (unsigned i = 0; i < DEVICES_MAX; i++) {
		unsigned kind = kind_of(i);

		if (kind && kind != DEVICE_NET && kind != DEVICE_BLOCK && !has_driver(i))
			probe(i);
	}
}
