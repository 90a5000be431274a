STATIC_PROGRAMS += bottle-init
bottle-init_SRCS := $(addprefix bottle/guest/, main.c channel.c config.c devices.c exec.c modules.c mounts.c net.c process.c stats.c users.c)

UNIT += $(addprefix tests/unit/guest/, channel_test config_test exec_test users_test)
tests/unit/guest/channel_test_SRCS := bottle/guest/channel.c
tests/unit/guest/config_test_SRCS := bottle/guest/config.c
tests/unit/guest/exec_test_SRCS := $(addprefix bottle/guest/, exec.c mounts.c users.c)
tests/unit/guest/users_test_SRCS := bottle/guest/users.c

FUZZ += tests/fuzz/fuzz_guest_frames tests/fuzz/fuzz_guest_users
tests/fuzz/fuzz_guest_frames_SRCS := $(addprefix bottle/guest/, channel.c config.c)
tests/fuzz/fuzz_guest_users_SRCS := bottle/guest/users.c
