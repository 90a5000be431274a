# bottle: the command. CLI_PARTS: what its unit tests link without main.
CLI_PARTS := $(addprefix bottle/cli/, client.c parts.c print.c session.c target.c units.c)

PROGRAMS += bottle
bottle_SRCS = $(addprefix bottle/cli/, main.c bottles.c check.c down.c env.c exec.c hold.c logs.c ls.c policy.c run.c \
	show.c socket.c system.c up.c why.c) $(CLI_PARTS) $(POLICY_SRCS) $(WIRE_SRCS)
bottle_LIBS = $(POLICY_LIBS)
