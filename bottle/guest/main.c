/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/log.h"
#include "guest/channel.h"
#include "guest/modules.h"

static int on_frame(const struct frame *f, void *arg)
{
	(void)arg;
	if (f->type == HOST_SHUTDOWN)
		reboot(RB_POWER_OFF);
	return 0;
}
static void on_room(void *arg) { (void)arg; }
static void on_lost(const char *why, void *arg) { (void)arg; log_error("%s", why); reboot(RB_POWER_OFF); }

int main(void)
{
	static const struct channel_ops ops = { on_frame, on_room, on_lost };
	struct loop *l = loop_new();
	struct channel *c;
	struct err e;
	struct utsname u;
	char space[256];
	struct tlv t;
	int fd;

	log_init("bottle-init", 0);
	mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	if (module_load("virtio_mmio", &e) < 0 || module_load("virtio_console", &e) < 0)
		log_error("%s", e.text);
	while ((fd = open("/dev/vport0p1", O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0)
		usleep(1000);
	if (fd < 0)
		log_error("port: %s", strerror(errno));
	c = channel_new(l, fd, &ops, NULL);
	uname(&u);
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, GUEST_TAG_VERSION, GUEST_PROTO_VERSION);
	tlv_str(&t, GUEST_TAG_KERNEL, u.release);
	channel_send_tlv(c, GUEST_HELLO, 0, &t);
	return loop_run(l);
}
