STATIC_PROGRAMS += bottle-init
bottle-init_SRCS := $(addprefix bottle/guest/, main.c channel.c config.c modules.c users.c)
