STATIC_PROGRAMS += bottle-init
bottle-init_SRCS := $(addprefix bottle/guest/, main.c channel.c config.c exec.c modules.c mounts.c net.c process.c stats.c users.c)
