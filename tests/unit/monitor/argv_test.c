/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line. */
#include "tests/unit/monitor/unit.h"

#include "base/mem.h"
#include "base/str.h"
#include "monitor/qemu.h"

static const struct vmm_config config = {
	.name = "bottle-0123",
	.cpus = 2,
	.memory = 256 << 20,
	.tsc_khz = 2500000,
	.n_layers = 2,
	.n_taps = 1,
};

static bool has(char *const *v, const char *option, const char *value)
{
	for (; *v && v[1]; v++)
		if (str_eq(*v, option) && str_eq(v[1], value))
			return true;
	return false;
}

static bool mentions(char *const *v, const char *text)
{
	for (; *v; v++)
		if (strstr(*v, text))
			return true;
	return false;
}

static void emulated(void **state)
{
	_cleanup_strv_ char **v = qemu_argv(&config);

	(void)state;
	assert_true(has(v, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	assert_true(has(v, "-accel", "tcg,tb-size=256"));
	assert_true(has(v, "-cpu", "max"));
	assert_true(has(v, "-smp", "2"));
	assert_true(has(v, "-m", "262144k"));
	assert_true(mentions(v, "tsc=reliable tsc_early_khz=2500000"));
	/* descriptors: 3 QMP, 4 channel, 5 console, 6 scratch, 7 and 8 layers, 9 the tap */
	assert_true(has(v, "-add-fd", "fd=6,set=0"));
	assert_true(has(v, "-device", "virtio-blk-device,drive=disk0,serial=disk0"));
	assert_true(has(v, "-add-fd", "fd=8,set=2"));
	assert_true(has(v, "-device", "virtio-blk-device,drive=disk2,serial=disk2"));
	assert_true(mentions(v, "node-name=disk0,read-only=off"));
	assert_true(mentions(v, "node-name=disk1,read-only=on"));
	assert_true(mentions(v, "node-name=disk2,read-only=on"));
	assert_true(has(v, "-netdev", "tap,id=nic0,fd=9,vhost=off"));
	assert_true(has(v, "-device", "virtio-net-device,netdev=nic0,mac=02:b0:77:00:00:00"));
	assert_true(has(v, "-device", "virtserialport,chardev=channel,name=bottle.0"));
	/* without these timers an emulated guest hangs or polls */
	assert_false(mentions(v, "pit=off"));
	assert_false(mentions(v, "pic=off"));
	assert_false(mentions(v, "rtc=off"));
}

static void with_kvm(void **state)
{
	struct vmm_config c = config;
	_cleanup_strv_ char **v = NULL;

	(void)state;
	c.kvm = true;
	v = qemu_argv(&c);
	assert_true(has(v, "-accel", "kvm"));
	assert_true(has(v, "-cpu", "host"));
	assert_false(mentions(v, "tsc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulated),
		cmocka_unit_test(with_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
