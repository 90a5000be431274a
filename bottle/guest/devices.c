/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands virtio devices to their drivers; in bottle-init. While a template is
 * parked its disks have their driver already (a disk's contents come later, its
 * size means nothing to us); a NIC has not, because what its driver agrees on
 * with the host depends on the clone's network. A clone takes as many as it was
 * given, and the rest of the template's slots costs it nothing.
 */
#include "guest/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"

#define BUS         "/sys/bus/virtio"
#define DEVICES_MAX 64
#define KIND_NET    1

static unsigned nics[DEVICES_MAX], n_nics, next_nic;

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

/* In the order of their indexes, so that a NIC that is not used takes no name from one that is. */
void devices_hold(void)
{
	write_text(BUS "/drivers_autoprobe", "0");
	for (unsigned i = 0; i < DEVICES_MAX; i++)
		if (kind_of(i) == KIND_NET)
			nics[n_nics++] = i;
}

bool devices_probe_nic(void)
{
	if (next_nic == n_nics)
		return false;
	probe(nics[next_nic++]);
	return true;
}

void devices_probe_others(void)
{
	for (unsigned i = 0; i < DEVICES_MAX; i++) {
		unsigned kind = kind_of(i);

		if (kind && kind != KIND_NET && !has_driver(i))
			probe(i);
	}
}
