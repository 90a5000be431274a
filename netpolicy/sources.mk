# The only privileged process: CAP_NET_ADMIN.
PROGRAMS += netpolicyd
netpolicyd_LIBS := libnftnl libmnl
netpolicyd_SRCS := $(addprefix netpolicy/, main.c jail.c setup.c worker.c dispatch.c msg.c state.c model.c pool.c ruleset.c \
	nft.c link.c ct.c nl.c)
