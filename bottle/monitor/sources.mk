# All but main.c.
monitor_parts := $(addprefix bottle/monitor/, channel.c client.c console.c control.c files.c jail.c kvm_probe.c probe.c qemu.c \
	qemu_argv.c qemu_jail.c qmp.c requests.c streams.c template.c template_make.c vm.c vmlog.c)

PROGRAMS += bottle-monitor
bottle-monitor_SRCS := bottle/monitor/main.c $(monitor_parts)
bottle-monitor_LIBS := jansson libxxhash

UNIT += $(addprefix tests/unit/monitor/, argv_test channel_test client_test jail_test qmp_test vm_test vmlog_test)
tests/unit/monitor/argv_test_SRCS := bottle/monitor/qemu_argv.c
tests/unit/monitor/channel_test_SRCS := bottle/monitor/channel.c
tests/unit/monitor/client_test_SRCS := bottle/monitor/client.c bottle/monitor/vmlog.c
tests/unit/monitor/jail_test_SRCS := bottle/monitor/jail.c
tests/unit/monitor/qmp_test_SRCS := bottle/monitor/qmp.c
tests/unit/monitor/qmp_test_LIBS := jansson
tests/unit/monitor/vm_test_SRCS := $(monitor_parts)
tests/unit/monitor/vm_test_LIBS := jansson libxxhash
tests/unit/monitor/vmlog_test_SRCS := bottle/monitor/vmlog.c

FUZZ += tests/fuzz/fuzz_guest_channel tests/fuzz/fuzz_qmp
tests/fuzz/fuzz_guest_channel_SRCS := $(monitor_parts)
tests/fuzz/fuzz_guest_channel_LIBS := jansson libxxhash
tests/fuzz/fuzz_qmp_SRCS := bottle/monitor/qmp.c
tests/fuzz/fuzz_qmp_LIBS := jansson
