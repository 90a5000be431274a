# The only privileged process: CAP_NET_ADMIN.
PROGRAMS += netpolicyd
netpolicyd_LIBS := libnftnl libmnl
netpolicyd_SRCS := $(addprefix netpolicy/, main.c jail.c setup.c worker.c dispatch.c msg.c state.c model.c pool.c ruleset.c \
	nft.c link.c ct.c nl.c)

UNIT += tests/unit/netpolicy/model_test tests/unit/netpolicy/ruleset_test tests/unit/netpolicy/jail_test
tests/unit/netpolicy/model_test_SRCS := netpolicy/model.c netpolicy/pool.c
tests/unit/netpolicy/ruleset_test_SRCS := netpolicy/ruleset.c netpolicy/model.c netpolicy/pool.c
tests/unit/netpolicy/jail_test_SRCS := netpolicy/jail.c

FUZZ += tests/fuzz/fuzz_netpolicy_msg
tests/fuzz/fuzz_netpolicy_msg_SRCS := netpolicy/msg.c netpolicy/model.c netpolicy/pool.c netpolicy/ruleset.c
