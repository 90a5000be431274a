/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line, in bottle-monitor; pure, so that a test can read it.
 * Nothing of the container is on it: sizes, counts and descriptor numbers only.
 */
#include "monitor/qemu.h"

#include <stdarg.h>

#include "base/mem.h"

/*
 * Measured: quiet and cryptomgr.notests shorten the boot; under TCG the guest
 * reads the host's TSC, and a calibration against the PIT hangs at random when
 * the host is loaded, so its rate is told and its watchdog disabled.
 */
#define CMDLINE "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests 8250.nr_uarts=1"

/*
 * A disk of a template: the guest's driver keeps this size when a clone has a smaller one there, which nobody minds: a
 * file system knows its own, and what lies behind a file's end is an error.
 */
#define SLOT_SIZE (1ULL << 43)

static void add(char ***v, const char *option, const char *fmt, ...) _printf_(3, 4);

static void add(char ***v, const char *option, const char *fmt, ...)
{
	char value[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	strv_push(v, option);
	strv_push(v, value);
}

/* pit, pic and rtc stay on (the default): without them a TCG guest has no working timer, or polls for a second. */
static void add_boot(char ***v, const struct vmm_config *c)
{
	add(v, "-kernel", QEMU_KERNEL);
	add(v, "-initrd", QEMU_INITRD);
	if (c->kvm)
		add(v, "-append", CMDLINE);
	else if (c->tsc_khz)
		add(v, "-append", CMDLINE " tsc=reliable tsc_early_khz=%u", c->tsc_khz);
	else
		add(v, "-append", CMDLINE " tsc=reliable");
}

/*
 * QEMU 7.2 opens a RAM file for writing even when it maps it privately, and only by a path: that of its own descriptor,
 * whose seals then keep the template as it is.
 */
static void add_ram(char ***v, const struct vmm_config *c)
{
	unsigned long long kb = c->memory / 1024;

	add(v, "-m", "%lluk", kb);
	if (c->from == VMM_BOOT)
		add(v, "-object", "memory-backend-memfd,id=ram,size=%lluk,share=on", kb);
	else
		add(v, "-object", "memory-backend-file,id=ram,size=%lluk,mem-path=" QEMU_FDS "/%d,share=%s", kb, qemu_fd_ram(c),
		    c->from == VMM_TEMPLATE ? "on" : "off");
}

static void add_machine(char ***v, const struct vmm_config *c)
{
	add(v, "-M", "microvm,acpi=on,ioapic2=on,x-option-roms=off,memory-backend=ram");
	add(v, "-accel", "%s", c->kvm ? "kvm" : "tcg,tb-size=256");
	add(v, "-cpu", "%s", c->kvm ? "host" : "max");
	add(v, "-smp", "%u", c->cpus);
	add_ram(v, c);
	if (c->from == VMM_CLONE)
		add(v, "-incoming", "defer");
	else
		add_boot(v, c);
}

static void add_channels(char ***v)
{
	add(v, "-chardev", "socket,id=qmp,fd=%d", QEMU_FD_QMP);
	add(v, "-mon", "chardev=qmp,mode=control");
	add(v, "-chardev", "socket,id=console,fd=%d", QEMU_FD_CONSOLE);
	add(v, "-serial", "chardev:console");
	add(v, "-global", "virtio-mmio.force-legacy=false");
	add(v, "-device", "virtio-serial-device,max_ports=2");
	add(v, "-chardev", "socket,id=channel,fd=%d", QEMU_FD_CHANNEL);
	add(v, "-device", "virtserialport,chardev=channel,name=" GUEST_PORT);
}

static void add_device_disk(char ***v, unsigned int index)
{
	add(v, "-device", "virtio-blk-device,drive=disk%u,serial=" GUEST_DISK_SERIAL, index, index);
}

static void add_empty_disk(char ***v, unsigned int index)
{
	add(v, "-blockdev", "driver=null-co,node-name=disk%u,size=%llu,read-zeroes=on", index, SLOT_SIZE);
	add_device_disk(v, index);
}

static void add_disk(char ***v, unsigned int index, int fd, bool read_only)
{
	add(v, "-add-fd", "fd=%d,set=%u", fd, index);
	add(v, "-blockdev",
	    "driver=raw,node-name=disk%u,read-only=%s,discard=unmap,file.driver=file,file.filename=/dev/fdset/"
	    "%u,file.locking=off",
	    index, read_only ? "on" : "off", index);
	add_device_disk(v, index);
}

static void add_device_nic(char ***v, unsigned int index)
{
	add(v, "-device", "virtio-net-device,netdev=nic%u,mac=02:b0:77:00:00:%02x", index, index);
}

static void add_empty_nic(char ***v, unsigned int index)
{
	add(v, "-netdev", "hubport,id=nic%u,hubid=%u", index, index);
	add_device_nic(v, index);
}

static void add_nic(char ***v, unsigned int index, int fd)
{
	add(v, "-netdev", "tap,id=nic%u,fd=%d,vhost=off", index, fd);
	add_device_nic(v, index);
}

int qemu_fd_ram(const struct vmm_config *c)
{
	return c->from == VMM_TEMPLATE ? QEMU_FD_SCRATCH : QEMU_FD_FIRST_LAYER + (int)(c->n_layers + c->n_taps);
}

static void add_devices(char ***v, const struct vmm_config *c)
{
	unsigned int disk = 0, nic = 0, tap = QEMU_FD_FIRST_LAYER + (unsigned int)c->n_layers;

	if (c->from != VMM_TEMPLATE)
		add_disk(v, disk++, QEMU_FD_SCRATCH, false);
	for (; disk && disk <= c->n_layers; disk++)
		add_disk(v, disk, QEMU_FD_SCRATCH + (int)disk, true);
	for (; c->from != VMM_BOOT && disk < VMM_SLOT_DISKS; disk++)
		add_empty_disk(v, disk);
	for (; nic < c->n_taps; nic++)
		add_nic(v, nic, (int)(tap + nic));
	for (; c->from != VMM_BOOT && nic < VMM_SLOT_NICS; nic++)
		add_empty_nic(v, nic);
	/* A clone's pages are the template's file: QEMU would punch them out of that one, which is sealed. */
	if (c->from == VMM_BOOT)
		add(v, "-device", "virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on");
}

char **qemu_argv(const struct vmm_config *c)
{
	char **v = NULL;

	strv_push(&v, QEMU_PATH);
	add(&v, "-name", "%s", c->name);
	strv_push(&v, "-nodefaults");
	strv_push(&v, "-no-user-config");
	strv_push(&v, "-no-reboot");
	add(&v, "-display", "none");
	add(&v, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_machine(&v, c);
	add_channels(&v);
	add_devices(&v, c);
	return v;
}
