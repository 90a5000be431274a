PROGRAMS += bottle-monitor
bottle-monitor_SRCS := $(addprefix bottle/monitor/, channel.c client.c console.c control.c files.c jail.c kvm_probe.c \
	main.c probe.c qemu.c qemu_argv.c qemu_jail.c qmp.c requests.c streams.c vm.c vmlog.c)
bottle-monitor_LIBS := jansson
